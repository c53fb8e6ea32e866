"""Paths from outside: whatever they are, nothing outside the folder is read or written."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from browser_runtime.models.files.paths import (
    MAX_NAME_BYTES,
    ForeignFolder,
    OutsideError,
    check_path,
    check_together,
    shorten,
)

ODD_NAMES = [
    "..",
    ".",
    "",
    "...",
    "onnx",
    "model.onnx_data",
    "~",
    "C:",
    "CON",
    " ",
    "\0",
    "\\",
    "a\\..\\b",
    "é",
    "é",
]
names = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.text(max_size=8),
    st.text(alphabet="ab./\\:\0\n\ud800…", max_size=8),
    st.integers(250, 5000).map(lambda n: "x" * n),
)
paths = st.one_of(
    st.lists(names, max_size=8).map("/".join),
    st.lists(names, max_size=8).map(lambda parts: "/" + "/".join(parts)),
    st.lists(names, min_size=1, max_size=4).map("\\".join),
    st.text(max_size=40),
)
anything = st.one_of(paths, st.none(), st.integers(), st.binary(max_size=8), st.lists(st.text(), max_size=2))


@given(anything)
def test_a_path_that_passes_stays_inside_on_any_system(given: object) -> None:
    try:
        path = check_path(given)
    except ValueError as error:
        assert len(str(error)) < 300 and "\n" not in str(error)
        return
    parts = path.split("/")
    assert not {"", ".", ".."} & set(parts) and "\\" not in path and "\0" not in path
    assert all(len(part.encode()) <= MAX_NAME_BYTES for part in parts)
    assert Path(os.path.normpath(f"/store/model/{path}")).is_relative_to("/store/model/")


@settings(max_examples=200)
@given(path=paths)
def test_a_file_at_a_path_that_passes_is_written_and_found_there(
    path: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.getbasetemp() / "property"
    root.mkdir(exist_ok=True)
    try:
        target = root / check_path(path)
    except ValueError:
        with pytest.raises(ValueError, match=r"path|name"):
            ForeignFolder.at(root).find(path)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.encode())
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return  # what an earlier example wrote is in the way: check_together's question
    found = ForeignFolder.at(root).find(path)
    assert found is not None and found.is_relative_to(root)
    assert ForeignFolder.at(root).read(path, 10_000) == path.encode()


@pytest.mark.parametrize(
    "path",
    ["onnx/model.onnx_data/../../../../x", "/etc/passwd", "../x", "..", "a/..", "a//b", "a/", "", "./a",
     "..\\x", "a\\..\\..\\x", "x\0y"],
)  # fmt: skip
def test_what_leads_out_is_told_from_what_is_odd(path: str) -> None:
    with pytest.raises(OutsideError, match="leaves the model's folder"):
        check_path(path)


@pytest.mark.parametrize("path", ["a:b", "x\ny", "\ud800", "x" * 256, "y/" * 600 + "z", "what?", 7, None])
def test_what_no_file_can_be_called_is_refused(path: object) -> None:
    with pytest.raises(ValueError, match=r"cannot be a file's|is no path") as caught:
        check_path(path)
    assert not isinstance(caught.value, OutsideError)
    assert len(shorten(path)) <= 120


@pytest.mark.parametrize("path", ["onnx/model.onnx_data", "мой файл.bin", "a..b", ".hidden", "a b/c+d"])
def test_usual_and_unusual_names_pass(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "paths",
    [["Model.onnx", "model.onnx"], ["caf\u00e9", "cafe\u0301"], ["a", "a/b"], ["A/x", "a"], ["a/b/c", "a/B"]],
)
def test_paths_that_cannot_stand_together_are_named(paths: list[str]) -> None:
    with pytest.raises(ValueError, match="in each other's way"):
        check_together(paths)


def test_paths_that_can_stand_together() -> None:
    check_together(["a/b", "a/c", "ab", "a.b", "a-b/c"])


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    """A folder with a file, beside a secret that is not in it."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "file").write_text("open")
    return ForeignFolder.at(tmp_path / "folder")


@pytest.mark.parametrize("target", ["../secret", "{}/secret", "/dev/zero", "/etc", ".."])
@pytest.mark.parametrize("place", ["link", "inner/link"])
def test_links_that_leave_are_refused(folder: ForeignFolder, tmp_path: Path, target: str, place: str) -> None:
    depth = "../" if "/" in place and target.startswith("..") else ""
    (folder.root / place).symlink_to(depth + target.format(tmp_path))
    with pytest.raises(OutsideError, match="is a link that leaves"):
        folder.open(place)


def test_a_folder_that_leaves_takes_its_files_with_it(folder: ForeignFolder, tmp_path: Path) -> None:
    (folder.root / "out").symlink_to(tmp_path)
    with pytest.raises(OutsideError, match="is a link that leaves"):
        folder.read("out/secret", 100)


def test_links_that_stay_are_followed(folder: ForeignFolder) -> None:
    (folder.root / "inner" / "link").symlink_to("../file")
    (folder.root / "again").symlink_to("inner")
    assert folder.read("again/link", 100) == b"open"


def test_what_is_no_regular_file_is_refused_at_once(folder: ForeignFolder) -> None:
    os.mkfifo(folder.root / "pipe")
    (folder.root / "loop").symlink_to("loop")
    (folder.root / "to_pipe").symlink_to("pipe")
    for path in ("pipe", "to_pipe", "inner"):
        with pytest.raises(ValueError, match="is no regular file"):
            folder.open(path)
    with pytest.raises(ValueError, match="cannot be read"):
        folder.open("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder.root / "socket"))
        with pytest.raises(ValueError, match="is no regular file"):
            folder.open("socket")


def test_what_is_swapped_for_a_link_after_the_check_is_not_followed(
    folder: ForeignFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ForeignFolder.find

    def find_then_swap(self: ForeignFolder, path: str) -> Path | None:
        found = whole(self, path)
        (folder.root / "file").unlink()
        (folder.root / "file").symlink_to(tmp_path / "secret")
        return found

    monkeypatch.setattr(ForeignFolder, "find", find_then_swap)
    with pytest.raises(OSError, match="symbolic links"):
        folder.open("file")


def test_reading_and_copying_end_at_the_bound(folder: ForeignFolder, tmp_path: Path) -> None:
    os.truncate(folder.root / "file", 1 << 40)
    with pytest.raises(ValueError, match="more than the 10 bytes"):
        folder.read("file", 10)
    with pytest.raises(ValueError, match="more than the 1000 bytes"):
        folder.copy("file", tmp_path / "copy", 1000)
    assert not (tmp_path / "copy").exists()
    with pytest.raises(FileNotFoundError):
        folder.open("nothing")
