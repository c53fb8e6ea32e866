"""Python's `time.time` with an offset: set while a process runs, by a file that is named by its id.

A clock that is right has a file of RIGHT bytes; each byte more is a second ahead.
"""

import os
import time

RIGHT = 7200
_folder, _true = os.environ["CHAOS_CLOCKS"], time.time


def _skewed() -> float:
    try:
        return _true() + os.stat(f"{_folder}/{os.getpid()}").st_size - RIGHT  # noqa: PTH116 - called often
    except OSError:
        return _true()


time.time = _skewed
