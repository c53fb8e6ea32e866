"""README and docs as data: fenced blocks, their commands with the output shown, and why some are not run.

CONTRIBUTING.md says how pages are written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"console", "python", "text", "json", "toml", "yaml"}

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: ([^\n]+) -->\n\Z")
NOT_COMPARED = re.compile(r"<!-- output not compared: ([^\n]+) -->\n\Z")
PAGE_NOT_RUN = re.compile(r"<!-- not run, this page: ([^\n]+) -->\n")


@dataclass(frozen=True)
class Command:
    """What is typed, and the lines shown below it."""

    line: str
    output: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    number: int
    """The line of the page at which it begins."""
    language: str
    text: str
    not_run: str
    """Why it cannot be run here; empty where it is run."""
    not_compared: str = ""
    """Why its output is another here."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.number}"

    @property
    def commands(self) -> list[Command]:
        """The commands of a block of `console`."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found:
                found[-1][1].append(line)
        return [Command(line, tuple(output)) for line, output in found]


def read_blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    whole = PAGE_NOT_RUN.match(text)
    for fence in FENCE.finditer(text):
        before = text[: fence.start()]
        own = NOT_RUN.search(before)
        why = own[1] if own else whole[1] if whole else ""
        differs = NOT_COMPARED.search(before)
        number = before.count("\n") + 1
        yield Block(page, number, fence[1], fence[2], why, differs[1] if differs else "")


def blocks(language: str) -> list[Block]:
    """Every block in `language` that is run, of every page."""
    found = (block for page in PAGES for block in read_blocks(page))
    return [block for block in found if block.language == language and not block.not_run]
