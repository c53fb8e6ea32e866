"""The one check of paths that come from outside: Hub listings, manifests, ONNX files, imported folders.

A path passes when it names a file inside a folder (`check_path`), and a file is opened when, links followed,
it is a regular one in there (`ForeignFolder`). Nothing else in the store joins a foreign path to a folder.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

# ext4, APFS and NTFS hold 255 bytes in a name; no model nests deeper than a few folders.
MAX_NAME_BYTES = 255
MAX_PATH_BYTES = 1024
COPY_BYTES = 1 << 20
# What some file system refuses in a name (as the onnx package does), and what hides a name's true end.
REFUSED_CHARACTERS = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')


class OutsideError(ValueError):
    """A path that leads out of its folder: nobody writes one by accident."""


def check_path(path: object) -> str:
    """Return `path` where it is a relative path of plain names, with forward slashes.

    Raises OutsideError for `..`, `.`, empty names and absolute paths, ValueError for names no file can have.
    """
    if not isinstance(path, str):
        raise ValueError(f"{shorten(path)} is no path")  # noqa: TRY004 - one kind of refusal for callers
    names = path.split("/")
    # A backslash separates names elsewhere, so what it hides counts too.
    if {"", ".", ".."} & set(re.split(r"[/\\]", path)) or "\0" in path:
        raise OutsideError(f"the path {shorten(path)} leaves the model's folder")
    if not all(map(_is_file_name, names)) or _size(path) > MAX_PATH_BYTES:
        raise ValueError(f"the path {shorten(path)} cannot be a file's")
    return path


def _is_file_name(name: str) -> bool:
    printable = not any(unicodedata.category(letter) in ("Cs", "Cc") for letter in name)
    return printable and not REFUSED_CHARACTERS.search(name) and _size(name) <= MAX_NAME_BYTES


def _size(text: str) -> int:
    """Bytes in UTF-8; lone surrogates, which have none, are counted as three."""
    return len(text.encode("utf-8", "surrogatepass"))


def check_together(paths: Iterable[str]) -> None:
    """Return where the paths can be files of one folder on any file system. Raises ValueError.

    No two may differ in case alone, and none may be a folder that another lies in.
    """
    files: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: (_fold_case(path), path)):
        names = _fold_case(path).split("/")
        above = ("/".join(names[:n]) for n in range(1, len(names) + 1))
        other = next((files[folder] for folder in above if folder in files), None)
        if other is not None:
            raise ValueError(f"the paths {shorten(other)} and {shorten(path)} stand in each other's way")
        files["/".join(names)] = path


def _fold_case(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def shorten(path: object) -> str:
    """`path` as an error shows it: quoted, at most 120 characters of it."""
    try:
        shown = repr(path)
    except RecursionError:  # a value that is nested without end
        shown = f"a {type(path).__name__} that is nested too deeply"
    return shown if len(shown) <= 120 else f"{shown[:117]}..."


@dataclass(frozen=True, slots=True)
class ForeignFolder:
    """A folder whose files somebody else wrote: what is taken from it is a regular file inside it."""

    root: Path
    bound: Path
    """The folder that links may not leave, resolved: this one, or a larger one that it belongs to."""

    @classmethod
    def at(cls, root: Path, bound: Path | None = None) -> ForeignFolder:
        """The folder `root`, which may itself be reached by a link: whoever named it meant it."""
        return cls(root, (bound or root).resolve())

    def find(self, path: str) -> Path | None:
        """The regular file at `path`, links followed; None if there is nothing of that name.

        Raises OutsideError if links lead out, ValueError for a folder, device, pipe or socket.
        """
        try:
            target = (self.root / check_path(path)).resolve(strict=True)
            mode = target.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before Python 3.13
            raise ValueError(f"{shorten(path)} cannot be read: {error}") from error
        if not target.is_relative_to(self.bound):
            raise OutsideError(f"{shorten(path)} is a link that leaves {self.bound}")
        if not stat.S_ISREG(mode):
            raise ValueError(f"{shorten(path)} is no regular file")
        return target

    def open(self, path: str) -> BinaryIO:
        """The file that `find` finds, open for reading. Raises FileNotFoundError, and like `find`."""
        target = self.find(path)
        if target is None:
            raise FileNotFoundError(f"there is no file {shorten(path)} in {self.root}")
        stream = os.fdopen(_open_without_links(target, self.bound), "rb")
        # Whoever may write to the folder may have put something else there meanwhile.
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            stream.close()
            raise ValueError(f"{shorten(path)} is no regular file")
        return stream

    def read(self, path: str, max_bytes: int) -> bytes:
        """The file's bytes. Raises ValueError if it holds more than `max_bytes`, and like `open`."""
        with self.open(path) as stream:
            content = stream.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise _too_large(path, max_bytes)
        return content

    def copy(self, path: str, target: Path, max_bytes: int) -> int:
        """Copies the file to `target`, a new path of ours; its size in bytes. Raises like `read`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open(path) as source:
            if os.fstat(source.fileno()).st_size > max_bytes:
                raise _too_large(path, max_bytes)
            with target.open("xb") as copy:
                while chunk := source.read(COPY_BYTES):
                    copy.write(chunk)
                    if copy.tell() > max_bytes:  # it grows while it is read
                        raise _too_large(path, max_bytes)
                return copy.tell()


def _too_large(path: str, max_bytes: int) -> ValueError:
    return ValueError(f"{shorten(path)} holds more than the {max_bytes} bytes allowed")


def _open_without_links(target: Path, home: Path) -> int:
    """A descriptor of `target`, reached from `home` without following any link."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    *folders, name = target.relative_to(home).parts
    descriptor = os.open(home, flags | os.O_DIRECTORY)
    try:
        for folder in folders:
            inner = os.open(folder, flags | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        return os.open(name, flags, dir_fd=descriptor)
    finally:
        os.close(descriptor)
