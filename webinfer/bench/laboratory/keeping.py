"""Keeps experiments in the history: in the file itself, or through Redis where another process owns it."""

from __future__ import annotations

import json
from typing import Any

import click
import redis

from scheduler.history.asking import look_up
from scheduler.history.history import History, HistoryUnavailable
from scheduler.settings import SchedulerSettings
from tasks.telemetry import Row, emit
from webinfer.bench.laboratory.documents import Document, check_document

# A gate's document holds every session: some 100 KB.
MAX_DOCUMENTS = 20


def experiment_row(document: Document) -> Row:
    """The row of the table `experiments`."""
    machine = document["machine"]
    return "experiments", {
        "kind": document["kind"],
        "model": ", ".join(document.get("models") or [document.get("a", {}).get("model", "")]),
        "verdict": document["verdict"],
        "fingerprint": machine["fingerprint"],
        "os": machine["system"],
        "webinfer_version": machine["webinfer_version"],
        "document": json.dumps(document, allow_nan=False),
    }


def keep_experiment(document: Document) -> None:
    """Writes one row; says so on standard error where neither the file nor its owner can be reached."""
    settings, row = SchedulerSettings(), experiment_row(document)
    try:
        with History(settings.history_path, max_memory_mb=settings.history_memory_mb) as history:
            history.append([row])
            return
    except HistoryUnavailable as error:
        reason = str(error)
    try:
        emit(_stream(), [row])
    except (redis.RedisError, OSError) as error:
        click.echo(f"webinfer: not kept in the history: {reason}; {error}", err=True)


def _stream() -> Any:
    from tasks.app import app

    return app.redis


def find_experiments(kind: str) -> list[Document]:
    """The documents of that kind in the history, the latest first. Raises HistoryUnavailable."""
    rows = look_up("laboratory_documents", kind=kind, max_rows=MAX_DOCUMENTS)
    return [check_document(json.loads(row["document"]), kind, "history") for row in rows]
