"""The models in Python's onnxruntime: the answer where no browser can be had, and what pages are held to."""

from browser_runtime.contract.extras import require

require("worker")

from browser_runtime.simulation.runners import reference  # noqa: E402 - what it needs is looked for first
from browser_runtime.simulation.session import SimulatedSession  # noqa: E402

__all__ = ["SimulatedSession", "reference"]
