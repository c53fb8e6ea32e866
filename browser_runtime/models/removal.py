"""Takes a model out of the store."""

from __future__ import annotations

import shutil
from pathlib import Path

from browser_runtime.models.files.scratch import PARTIAL_FOLDER, hold_scratch
from browser_runtime.models.in_use import hold_unused
from browser_runtime.models.reports import Removal


def remove_model(root: Path, name: str) -> Removal:
    """Removes the model `name` from the store `root`, with what a pull of it left; what that freed.

    The caller holds the lock of this name. Raises BadInput if a process uses the model, and OSError.
    """
    with hold_scratch(root) as scratch:
        doomed = scratch / "removed"
        # Gone at once for whoever asks next, however long the removing takes.
        with hold_unused(root, name):
            (root / name).rename(doomed)
        for number, part in enumerate((root / PARTIAL_FOLDER).glob(f"{name.replace('/', '--')}@*")):
            part.rename(scratch / f"part-{number}")
        home = (root / name).parent
        if home != root and not any(home.iterdir()):
            home.rmdir()
        sizes = [path.lstat().st_size for path in scratch.rglob("*") if not path.is_dir()]
        shutil.rmtree(scratch, ignore_errors=False)
    return Removal(name, len(sizes), sum(sizes))
