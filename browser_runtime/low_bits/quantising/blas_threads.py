"""The threads of NumPy's matrix products, while other threads keep the processors busy already."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

# As the wheels of NumPy name them, and OpenBLAS itself.
FORMS = ("scipy_openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads", "openblas_{}_num_threads")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Have products computed by the thread that asks for them; as before, where this NumPy's BLAS is another.

    OpenBLAS gives each product to all processors, and its threads spin while they wait: beside a pool of
    threads that multiply small matrices, that takes twice the time.
    """
    found = openblas()
    if found is None:
        yield
        return
    library, form = found
    n_before = getattr(library, form.format("get"))()
    change = getattr(library, form.format("set"))
    change(1)
    try:
        yield
    finally:
        change(n_before)


@cache
def openblas() -> tuple[Any, str] | None:
    """The library that this process has loaded already, and the form of its names."""
    for path in Path(np.__file__).parents[1].glob("numpy.libs/*openblas*"):
        library = ctypes.CDLL(str(path))
        for form in FORMS:
            if hasattr(library, form.format("set")) and hasattr(library, form.format("get")):
                return library, form
    return None
