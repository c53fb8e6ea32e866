"""Downloads one file of a Hub repository, resuming what an earlier attempt left.

huggingface_hub itself resumes only within one call (since 2.0 its partial files carry a random name), so a
pull that was killed would start over; the bytes are therefore fetched here, over its HTTP session.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadRequest, SetupError
from browser_runtime.models.files.integrity import hash_file
from browser_runtime.models.hub.settings import HubSettings


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository at one commit, as the Hub describes it."""

    path: str
    url: str
    size_bytes: int
    sha256: str | None
    """Of files in large-file storage."""
    git_hash: str | None
    """Git's SHA-1 of the others."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a pull, in bytes of all its files."""

    model: str
    path: str
    done_bytes: int
    total_bytes: int


Report = Callable[[int], None]


def download(file: HubFile, target: Path, settings: HubSettings, deadline: float, report: Report) -> None:
    """Fetches `file` to `target`, then holds it against the Hub's hash; `report` gets the bytes there so far.

    Raises SetupError when the Hub cannot be reached or the deadline (monotonic) passes: the part that came
    stays for the next time. Raises BadRequest when what came is not what the Hub says.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    n_barren = 0
    while not target.exists() or _size(target) != file.size_bytes:
        before = _size(target)
        problem = _attempt(file, target, settings, deadline, report)
        if problem is None:
            break
        n_barren = 0 if _size(target) > before else n_barren + 1
        if n_barren >= settings.n_attempts:
            raise SetupError(
                file.path, f"fetching it from {settings.endpoint} failed: {problem}"
            ) from problem
        _wait(n_barren, settings, deadline)
    report(_size(target))
    _require_match(file, target)


def _wait(n_barren: int, settings: HubSettings, deadline: float) -> None:
    """Waits before the next attempt: not while bytes come, twice as long after each that brought none."""
    left_s = max(deadline - time.monotonic(), 0.0)
    if n_barren:
        time.sleep(min(settings.retry_wait_s * 2 ** (n_barren - 1), left_s))


def _attempt(
    file: HubFile, target: Path, settings: HubSettings, deadline: float, report: Report
) -> Exception | None:
    """One request; None when the server sent all it had, else what broke it off."""
    import httpx2
    from huggingface_hub import get_session

    start = _size(target)
    resume = {"Range": f"bytes={start}-"} if start else {}
    headers = {"Accept-Encoding": "identity", **_authorization(settings), **resume}
    session = get_session()
    try:
        with session.stream("GET", file.url, headers=headers, timeout=settings.silence_timeout_s) as response:
            _refuse_status(file, target, response.status_code)
            response.raise_for_status()
            _append(response, target, file, deadline, report)
    except httpx2.HTTPError as error:
        return error
    return None


def _refuse_status(file: HubFile, target: Path, status: int) -> None:
    """Raises BadRequest for answers that another attempt would not change."""
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        target.unlink()  # what is here is no beginning of this file; the next attempt starts over
    elif status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
        raise BadRequest(f"the Hub answers {status} to {file.url}; for a gated repository set HF_TOKEN")


def _authorization(settings: HubSettings) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}


def _append(response: Any, target: Path, file: HubFile, deadline: float, report: Report) -> None:
    """Writes what comes, after what is there if the server resumed, instead of it if it did not."""
    mode = "ab" if response.status_code == HTTPStatus.PARTIAL_CONTENT else "wb"
    with target.open(mode) as stream:
        for chunk in response.iter_bytes():  # as it comes: a chunk size would hold back what a cut left
            stream.write(chunk)
            report(stream.tell())
            if stream.tell() > file.size_bytes:
                break
            if time.monotonic() >= deadline:
                raise SetupError(
                    file.path, "the pull reached its deadline; run it again and it goes on from here"
                )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _require_match(file: HubFile, target: Path) -> None:
    """Raises BadRequest, and removes the file, when it is not what the Hub says."""
    if file.sha256 is not None:
        whole = hash_file(target) == file.sha256
    elif file.git_hash is not None:
        whole = _hash_git_blob(target) == file.git_hash
    else:
        whole = _size(target) == file.size_bytes
    if not whole:
        target.unlink()
        raise BadRequest(
            f"{file.path} came corrupt: its hash is not the one that the Hub lists; pull the model again"
        )


def _hash_git_blob(path: Path) -> str:
    """Git's name for the file's contents: SHA-1 over "blob <size>\\0" and the bytes."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
