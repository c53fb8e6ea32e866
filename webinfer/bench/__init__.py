"""What `webinfer bench` measures; every figure comes from the run it is printed with."""
