"""Python's `time.time` with an offset: set while a process runs, by a file that is named by its id."""

import os
import time

_folder, _true = os.environ["CHAOS_CLOCKS"], time.time


def _skewed() -> float:
    try:
        return _true() + os.stat(f"{_folder}/{os.getpid()}").st_size  # noqa: PTH116 - called often
    except OSError:
        return _true()


time.time = _skewed
