"""A hook of MkDocs: the site has only the files of docs/, so links to others name them; two are taken in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TAKEN_IN = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
LINK = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)[^)]*\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page's text, whose links lead to pages of the site."""
    if page.file.src_path in TAKEN_IN:
        return (ROOT / TAKEN_IN[page.file.src_path]).read_text().replace("](docs/", "](")
    return LINK.sub(_name_file, markdown)


def _name_file(link: re.Match[str]) -> str:
    """The text of a link, with the path of the repository's file that it led to."""
    text, path = link[1], link[2]
    return f"`{path}`" if text.strip("`") in path else f"{text} (`{path}` in the repository)"
