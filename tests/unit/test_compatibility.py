"""docs/compatibility.md says what the code decides by."""

from __future__ import annotations

from pathlib import Path

from browser_runtime.contract.options import list_options
from browser_runtime.models.configuration.processors import PROCESSORS
from webinfer.compatibility.page import render

PAGE = Path(__file__).parents[2] / "docs/compatibility.md"


def test_the_page_is_written_from_the_code() -> None:
    remedy = "python -m webinfer.compatibility > docs/compatibility.md"
    assert PAGE.read_text(encoding="utf-8") == render(), remedy


def test_what_is_done_is_named() -> None:
    page = render()
    names = [option.name for option, _ in list_options()]
    assert all(f"`{name}`" in page for name in (*names, *PROCESSORS, "forced_decoder_ids", "rescale_offset"))
