"""Unpacking of the archives that hold small models."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks a tar archive, compressed or not, into a folder."""
    with tarfile.open(archive) as tar:
        # Debian 12's Python, 3.11.2, has neither `filter=` nor `data_filter`, which came with 3.11.4.
        tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        tar.extractall(folder)
