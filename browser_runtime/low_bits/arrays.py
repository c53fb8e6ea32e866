"""The arrays of this room, by what is in them; each docstring gives the shape."""

from __future__ import annotations

from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float32]]
IntArray = np.ndarray[Any, np.dtype[np.int32]]
# NumPy types what comes of shifting bytes as any whole number.
ByteArray = np.ndarray[Any, np.dtype[Any]]
