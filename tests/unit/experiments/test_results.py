"""Experiments as the history gives them, made into tables, markup and Markdown."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from scheduler.experiments.html import STYLE_FILE, write_result
from scheduler.experiments.markdown import write_result as write_markdown
from scheduler.experiments.reading import read_table
from scheduler.experiments.rows import Experiment, read_experiments
from scheduler.history.history import History
from tests.stand_ins.experiments import experiment_rows, make_documents
from webinfer.bench.laboratory.documents import write_document

KINDS = ("compare", "matrix", "gate", "load", "gate-repeats")
HOSTILE = """</script><script>window.hacked=1</script>"onload='x' |`"""


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with History(tmp_path / "h.duckdb") as found:
        found.append(experiment_rows(HOSTILE, time.time()))
        yield found


def ask(history: History, **more: Any) -> list[Experiment]:
    span = {"since_s": 0.0, "until_s": time.time() + 60, "model": None, "max_rows": 100, "max_documents": 12}
    return read_experiments(history.query("experiments", **span | more))


class Tags(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def test_every_kind_comes_back_as_its_own_table_without_what_only_later_runs_need(history: History) -> None:
    found = ask(history)
    assert [one.kind for one in found] == [*KINDS, "matrix", "matrix"]
    for one, document in zip(found, make_documents(HOSTILE), strict=False):
        assert one.table == read_table(document) is not None
    text = json.dumps([one.document for one in found])
    assert not [name for name in ("blocks", "starts", "latencies_ms") if f'"{name}"' in text]


def test_a_document_that_makes_no_sense_leaves_its_verdict(history: History) -> None:
    odd = ask(history)[-2:]
    assert [one.table for one in odd] == [None, None] and all(HOSTILE in one.verdict for one in odd)


@pytest.mark.parametrize("nth", range(len(KINDS)))
def test_no_field_of_another_kind_breaks_a_page(nth: int) -> None:
    """Each value of a document in turn is something else, or gone."""
    document = json.loads(write_document(make_documents("m")[nth]))
    for path in _paths(document):
        for odd in (None, [], {}, "text", -1, 1e300, True, [[]], {"a": "b"}):
            table = read_table(_replaced(document, path, odd))
            if table is not None:
                assert write_result(table, "name").startswith("<div")
                write_markdown(table)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    keys = value if isinstance(value, dict) else range(min(len(value), 1)) if isinstance(value, list) else ()
    for key in keys:
        if key not in ("blocks", "starts", "latencies_ms", "machine"):
            yield from _paths(value[key], (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


def test_earlier_ones_have_no_document(history: History) -> None:
    found = ask(history, max_documents=2)
    assert [one.table is not None for one in found] == [True, True, *[False] * 5]


def test_markup_is_text_and_needs_no_style_or_script_of_its_own(history: History) -> None:
    for one in ask(history)[: len(KINDS)]:
        assert one.table
        page = Tags(write_result(one.table, HOSTILE))
        assert not {"script", "style", "link", "img"} & set(page.tags)
        assert not {name for name in page.attributes if name.startswith("on") or name in ("style", "href")}
        assert r"\</script\>" in write_markdown(one.table) or one.kind == "compare"


def test_heat_is_by_the_quickest_right_cell_and_every_class_has_its_style() -> None:
    table = read_table(make_documents("m")[1])
    assert table
    [row] = table.rows
    assert [cell.mark for cell in row[1:]] == ["heat-0", "heat-10", "wrong", "none"]
    assert list(table.notes) == ["m", "no m"]
    style = STYLE_FILE.read_text()
    assert all(
        f".result .{mark} {{" in style for mark in (*(f"heat-{n}" for n in range(11)), "wrong", "none")
    )


def test_numbers_that_json_could_not_write_again_are_no_document() -> None:
    row = {"at_s": 1.0, "kind": "gate", "model": "m", "verdict": "v", "machine": "x"}
    [one] = read_experiments([row | {"document": '{"version": 1, "kind": "gate", "cells": 1e999}'}])
    assert one.document is None and one.table is None
