"""Every file, module and task of this repository that the documentation names is there."""

from __future__ import annotations

import importlib
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from scheduler.app import app as scheduler_app
from tests.documentation.pages import PAGES, ROOT

ROOMS = (
    "browser_runtime",
    "tasks",
    "workers",
    "scheduler",
    "webinfer",
    "fixed_web_platform",
    "tests",
    "training",
)
# Made by set-up or a build; a model's own folder; forms of names.
NOT_OURS = re.compile(r"(\.venv|build|vendor|onnx|\.partial|org)(/.*)?$|~|.*\d/|.*/[A-Z\d]$")
PATH = re.compile(r"(?:\.\./)*[\w.-]+(?:/[\w.-]+)*/?")
FILE = re.compile(r"[\w-]+\.(?:py|js|mjs|sql|wgsl|ts)")
MODULE = re.compile(r"\w+(?:\.\w+)+")
FENCED_PATH = re.compile(r"(?<![\w./~-])[\w-]+/[\w./-]+\.(?:py|js|sql)\b")
# A format, written down before its engine.
PLANNED = {"browser_runtime/page/kernels/README.md"}


@cache
def tracked() -> frozenset[str]:
    """Every file of the repository, and every folder that holds one."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    files = listed.stdout.split()
    return frozenset(files) | {str(folder) for file in files for folder in Path(file).parents}


def readmes() -> list[Path]:
    """The READMEs of the rooms."""
    return [ROOT / name for name in sorted(tracked() - PLANNED) if name.endswith("/README.md")]


def words(page: Path) -> list[str]:
    """Every word in backticks, and every path in a fenced block."""
    text = page.read_text(encoding="utf-8")
    spans = [word.strip(",;()") for span in re.findall(r"`([^`\n]+)`", text) for word in span.split()]
    blocks = re.findall(r"^```.*?^```$", text, re.DOTALL | re.MULTILINE)
    return spans + [path for block in blocks for path in FENCED_PATH.findall(block)]


def is_path_there(page: Path, word: str) -> bool:
    """A path from the root, from a folder above the page, or in the room of a README."""
    name = word.rstrip("/")
    if name.startswith(".."):
        return (page.parent / name).exists()
    parents = [page.parent, *page.parent.parents]
    starts = [
        "" if folder == ROOT else f"{folder.relative_to(ROOT)}/"
        for folder in parents
        if ROOT in (folder, *folder.parents)
    ]
    if any(start + name in tracked() for start in (*starts, "browser_runtime/")):
        return True
    below = "" if page.parent in (ROOT, ROOT / "docs") else f"{page.parent.relative_to(ROOT)}/"
    return bool(below) and any(each.startswith(below) and each.endswith(f"/{name}") for each in tracked())


def is_module_there(word: str) -> bool:
    """A module, something in one, or a task of the scheduler."""
    if word in scheduler_app.tasks:
        return True
    parts = word.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:n]))
        except ModuleNotFoundError:
            continue
        return all((found := getattr(found, part, None)) is not None for part in parts[n:])
    return False


def is_there(page: Path, word: str) -> bool:
    """False for what looks like a file or a module of ours and is none."""
    if NOT_OURS.match(word) or word.endswith((".json", ".md")):
        return True
    if "/" in word and PATH.fullmatch(word):
        first, last = word.split("/", maxsplit=1)[0], Path(word).name
        is_ours = first in tracked() or first == ".." or word.endswith("/") or FILE.fullmatch(last)
        return not is_ours or is_path_there(page, word)
    if FILE.fullmatch(word):
        return any(Path(name).name == word for name in tracked())
    return not MODULE.fullmatch(word) or word.split(".", maxsplit=1)[0] not in ROOMS or is_module_there(word)


@pytest.mark.parametrize("page", [*PAGES, *readmes()], ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    assert [word for word in words(page) if not is_there(page, word)] == []


def named_tests() -> list[str]:
    """Every test that a page names, as `FILE::FUNCTION`."""
    texts = (page.read_text(encoding="utf-8") for page in PAGES)
    return sorted({name for text in texts for name in re.findall(r"`(tests/[\w/]+\.py::\w+)`", text)})


@pytest.mark.parametrize("name", named_tests())
def test_a_test_that_is_said_to_hold_something_is_there(name: str) -> None:
    file, _, function = name.partition("::")
    assert re.search(rf"^(async )?def {function}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_page_on_security_names_tests() -> None:
    rows = re.findall(r"^\|.*\|$", (ROOT / "docs/security.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sum("::test_" in row for row in rows) >= 35
