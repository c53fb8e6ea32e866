"""The measurements of `webinfer bench`; every figure comes from the run with which it is printed."""
