"""Files are written whole, and what is no plain file stays what it is."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from scheduler.files import write_whole


def test_a_link_and_a_pipe_stay_what_they_are(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target", tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(target)
    write_whole(link, "one")
    assert (link.is_symlink(), target.read_text()) == (True, "one")
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_whole(pipe, "two")
    reader.join(10)
    assert (read, stat.S_ISFIFO(pipe.stat().st_mode)) == (["two"], True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe", "target"]
