"""The models in Python's onnxruntime: the answer where no browser can be had, and what pages are held to."""

from browser_runtime.simulation.runners import reference

__all__ = ["reference"]
