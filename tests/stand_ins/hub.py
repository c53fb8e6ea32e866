"""A stand-in for the Hugging Face Hub: a real HTTP server that serves repositories from a folder.

It speaks what huggingface_hub and the model store speak (set HF_ENDPOINT to its address):

    GET  /api/models/<id>                          the default branch, its files with sizes and hashes
    GET  /api/models/<id>/revision/<revision>      the same at a branch or commit
    GET  /api/models/<id>/tree/<revision>[/path]   the files as a list
    HEAD /<id>/resolve/<revision>/<file>           size, ETag and commit
    GET  /<id>/resolve/<revision>/<file>           the bytes, ranges included

Layout: `root/<org>/<repo>/<branch>/<files>`, and beside the branches a card.json with what the Hub tells of
the repository (`tags`, `pipeline_tag`). A branch's commit is the SHA-1 of its contents. Files of at least
LFS_BYTES are in "large-file storage": they go by their SHA-256 and are redirected to another path, as on the
Hub. Faults can be asked for: `hub.faults` by path.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LFS_BYTES = 4096
CHUNK_BYTES = 1 << 14


@dataclass
class Fault:
    """What is to go wrong with one file, `times` times."""

    times: int = 1
    cut_after_bytes: int | None = None
    """Close the connection after that many bytes of a body."""
    corrupt: bool = False
    """Send other bytes of the same number."""
    status: int | None = None
    """Answer with this status instead."""
    ignore_range: bool = False
    """Send the whole file whatever range was asked for."""


@dataclass
class Request:
    """One request that came, for tests to look at."""

    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class Hub:
    """The server's state: address, faults to come, requests that came."""

    root: Path
    address: str = ""
    faults: dict[str, Fault] = field(default_factory=dict)
    """By the file's path inside its repository."""
    requests: list[Request] = field(default_factory=list)
    gated: set[str] = field(default_factory=set)
    """Repositories that want a token."""

    def downloads(self, path: str) -> list[Request]:
        """The GET requests for one file's bytes, redirects left out."""
        return [entry for entry in self.requests if entry.method == "GET" and entry.path.endswith(path)]

    def commit(self, repository: str, branch: str = "main") -> str:
        """The commit that a branch is at."""
        folder = self.root / repository / branch
        digest = hashlib.sha1(usedforsecurity=False)
        for path in list_files(folder):
            digest.update(f"{path}\0".encode() + (folder / path).read_bytes())
        return digest.hexdigest()

    def find(self, repository: str, revision: str) -> Path | None:
        """The folder of a branch or commit."""
        home = self.root / repository
        branches = sorted(path.name for path in home.iterdir() if path.is_dir()) if home.is_dir() else []
        known = {branch: branch for branch in branches} | {self.commit(repository, b): b for b in branches}
        return home / known[revision] if revision in known else None


def fetched(hub: Hub) -> set[str]:
    """The files whose bytes were asked for."""
    paths = (entry.path for entry in hub.requests if entry.method == "GET" and "/resolve/" in entry.path)
    return {path.split("/resolve/")[1].partition("/")[2] for path in paths}


def list_files(folder: Path) -> list[str]:
    """Every file under `folder`, relative, with forward slashes, in order."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def hash_git_blob(content: bytes) -> str:
    """Git's name for these contents."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def serve_hub(root: Path) -> Iterator[Hub]:
    """A running stand-in on an ephemeral loopback port."""
    hub = Hub(root)
    handler = type("Handler", (HubHandler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class HubHandler(BaseHTTPRequestHandler):
    """Answers one connection; `hub` is set by serve_hub."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Metadata of one file."""
        self._answer()

    def do_GET(self) -> None:
        """Information about a repository, or a file's bytes."""
        self._answer()

    def log_message(self, *args: object) -> None:
        """Say nothing: tests read `hub.requests`."""

    def _answer(self) -> None:
        address = urlsplit(self.path)
        path = unquote(address.path).lstrip("/")
        told = (self.headers.get("Range"), self.headers.get("Authorization"))
        self.hub.requests.append(Request(self.command, path, *told))
        parts = path.split("/")
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            self._answer_api("/".join(parts[2:4]), parts[4:], parse_qs(address.query))
        elif parts[0] == "lfs" and len(parts) > 4:
            self._answer_file("/".join(parts[1:3]), parts[3], "/".join(parts[4:]), stored=True)
        elif len(parts) > 4 and parts[2] == "resolve":
            self._answer_file("/".join(parts[:2]), parts[3], "/".join(parts[4:]), stored=False)
        else:
            self._refuse(404, "EntryNotFound", "no such path")

    def _find(self, repository: str, revision: str) -> Path | None:
        """The revision's folder; None once the request has been refused."""
        if repository in self.hub.gated and not self.headers.get("Authorization"):
            self._refuse(401, "GatedRepo", "access to this repository is restricted")
            return None
        if not (self.hub.root / repository).is_dir():
            self._refuse(404, "RepoNotFound", "repository not found")
            return None
        folder = self.hub.find(repository, revision)
        if folder is None:
            self._refuse(404, "RevisionNotFound", "revision not found")
        return folder

    def _answer_api(self, repository: str, rest: list[str], query: dict[str, list[str]]) -> None:
        what, revision = (rest[0], rest[1]) if len(rest) > 1 else ("revision", "main")
        folder = self._find(repository, revision)
        if folder is None:
            return
        if what == "tree":
            self._send_json([describe_tree_file(folder, path) for path in list_files(folder)])
            return
        card = folder.parent / "card.json"
        told = json.loads(card.read_text()) if card.is_file() else {}
        commit = self.hub.commit(repository, folder.name)
        blobs = "blobs" in query
        siblings = [describe_sibling(folder, path, blobs) for path in list_files(folder)]
        self._send_json({"id": repository, "sha": commit, "siblings": siblings, "tags": [], **told})

    def _answer_file(self, repository: str, revision: str, path: str, stored: bool) -> None:
        folder = self._find(repository, revision)
        if folder is None:
            return
        if path not in list_files(folder):
            self._refuse(404, "EntryNotFound", "no such file")
            return
        content = (folder / path).read_bytes()
        large = len(content) >= LFS_BYTES
        commit = self.hub.commit(repository, folder.name)
        tag = hashlib.sha256(content).hexdigest() if large else hash_git_blob(content)
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes", "ETag": f'"{tag}"'}
        if large and not stored:
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{tag}"'}
            headers |= {"Location": f"/lfs/{repository}/{commit}/{path}"}
            self._send(302, headers, b"")
        elif self.command == "HEAD":
            self._send(200, {**headers, "Content-Length": str(len(content))}, b"")
        else:
            self._send_file(path, content, headers)

    def _send_file(self, path: str, content: bytes, headers: dict[str, str]) -> None:
        fault = self._take_fault(path)
        if fault.status is not None:
            self._refuse(fault.status, "", "a fault that was asked for")
            return
        start = self._range_start() if not fault.ignore_range else 0
        if start > len(content) or (start and start == len(content)):
            self._send(416, {"Content-Range": f"bytes */{len(content)}"}, b"")
            return
        body = bytes(byte ^ 0xFF for byte in content[start:]) if fault.corrupt else content[start:]
        status = 206 if start else 200
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(status, headers, body, fault)

    def _take_fault(self, path: str) -> Fault:
        fault = self.hub.faults.get(path)
        if fault is None or fault.times <= 0:
            return Fault()
        fault.times -= 1
        return fault

    def _range_start(self) -> int:
        asked = self.headers.get("Range", "")
        return int(asked.removeprefix("bytes=").partition("-")[0]) if asked.startswith("bytes=") else 0

    def _send_json(self, value: Any) -> None:
        self._send(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _refuse(self, status: int, code: str, text: str) -> None:
        self._send(
            status, {"X-Error-Code": code, "X-Error-Message": text}, json.dumps({"error": text}).encode()
        )

    def _send(self, status: int, headers: dict[str, str], body: bytes, fault: Fault | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(body, fault or Fault())

    def _send_body(self, body: bytes, fault: Fault) -> None:
        sent = body if fault.cut_after_bytes is None else body[: fault.cut_after_bytes]
        try:
            for start in range(0, len(sent), CHUNK_BYTES):
                self.wfile.write(sent[start : start + CHUNK_BYTES])
                self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        if fault.cut_after_bytes is not None:
            self.close_connection = True


def describe_sibling(folder: Path, path: str, blobs: bool) -> dict[str, Any]:
    """One file as /api/models tells it."""
    if not blobs:
        return {"rfilename": path}
    content = (folder / path).read_bytes()
    entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": hash_git_blob(content)}
    if len(content) >= LFS_BYTES:
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
    return entry


def describe_tree_file(folder: Path, path: str) -> dict[str, Any]:
    """One file as /api/models/<id>/tree tells it."""
    content = (folder / path).read_bytes()
    entry: dict[str, Any] = {
        "type": "file",
        "path": path,
        "size": len(content),
        "oid": hash_git_blob(content),
    }
    if len(content) >= LFS_BYTES:
        oid = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
    return entry
