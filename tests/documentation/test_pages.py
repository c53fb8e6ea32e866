"""How README and docs are written, so that their commands can be run."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.documentation.pages import LANGUAGES, PAGES, ROOT, read_blocks

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
WIDTH = 100


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in read_blocks(page):
        assert block.language in LANGUAGES, block
        if block.language == "console":
            assert block.text.startswith("$ "), f"{block}: a command begins with $"
        if block.language == "json":
            json.loads(block.text)
        if block.language == "toml":
            tomllib.loads(block.text)
        if block.language == "yaml":
            list(yaml.safe_load_all(block.text))
        if block.language == "python" and ">>>" not in block.text:
            compile(block.text, str(block), "exec")


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_links_lead_to_files(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_no_line_of_commands_is_indented_past_the_eye_of_the_test() -> None:
    for page in PAGES:
        indented = re.findall(r"^(?:    |\t)\$ .*", page.read_text(), re.MULTILINE)
        assert not indented, f"{page}: put commands into a fenced block of console"


def test_the_readme_fits_a_terminal() -> None:
    for line in (ROOT / "README.md").read_text().splitlines():
        assert len(line) <= WIDTH, line
