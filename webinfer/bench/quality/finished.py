"""Finished settings of a run: told at once and, where a file was asked for, kept in it for another run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadRequest
from webinfer.bench.quality.results import Accuracy, Row

Key = Mapping[str, str | int]
"""What a figure depends on: model, a hash of its weights, browser, the text's length, the setting."""
Report = Callable[[Row | Accuracy], None]


class FinishedSettings:
    """Settings by what their figures depend on; a line of JSON each in the file."""

    def __init__(self, report: Report, path: Path | None = None) -> None:
        """Raises BadRequest where the file holds something else."""
        self._report, self._path = report, path
        self._found: dict[str, Row | Accuracy] = {}
        if path is None or not path.exists():
            return
        try:
            for line in path.read_text(encoding="utf-8").splitlines():
                plain = json.loads(line)
                self._found[_text(plain["key"])] = _read(plain)
        except (ValueError, TypeError, KeyError) as error:
            raise BadRequest(f"{path} holds no settings of an earlier run: {error}") from error

    def has(self, key: Key) -> bool:
        """Whether it is there already."""
        return _text(key) in self._found

    def add(self, key: Key, found: Row | Accuracy) -> None:
        """Tells and keeps a setting as soon as it was measured."""
        self._found[_text(key)] = found
        self._report(found)
        if self._path is not None:
            kind = "row" if isinstance(found, Row) else "accuracy"
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"key": key, kind: asdict(found)}) + "\n")

    def row(self, key: Key) -> Row:
        """The row of a setting that is there."""
        found = self._found[_text(key)]
        assert isinstance(found, Row)
        return found

    def accuracy(self, key: Key) -> Accuracy:
        """The accuracy of a setting that is there."""
        found = self._found[_text(key)]
        assert isinstance(found, Accuracy)
        return found


def _text(key: Key) -> str:
    return json.dumps(key, sort_keys=True)


def _read(plain: dict[str, Any]) -> Row | Accuracy:
    return Row(**plain["row"]) if "row" in plain else Accuracy(**plain["accuracy"])
