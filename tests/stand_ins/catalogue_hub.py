"""A Hub that serves the built-in models under the repositories of the catalogue's names."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from browser_runtime.models.hub.catalogue import read_catalogue
from browser_runtime.models.manifest import MANIFEST
from browser_runtime.models.store import BUILTIN_FOLDER
from tests.stand_ins.hub import Hub, serve_hub

# Small models of the same families and layouts as the real ones, which cannot be had without a network.
STANDS_IN = {
    "bert-base-uncased": "sentences-bert",
    "vit-base": "digits-vit",
    "whisper-tiny": "tones-whisper",
}


@contextmanager
def serve_catalogue(root: Path) -> Iterator[Hub]:
    """A running stand-in; a pinned commit is served as a branch of that name."""
    for name, builtin in STANDS_IN.items():
        entry = read_catalogue()[name]
        target = root / entry.repository / entry.revision
        shutil.copytree(BUILTIN_FOLDER / builtin, target, ignore=shutil.ignore_patterns(MANIFEST))
    with serve_hub(root) as hub:
        yield hub
