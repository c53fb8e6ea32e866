"""The routing table of all models that ran: built from evidence, written as JSON, compared. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from browser_runtime.contract.vocabulary import Backend, Browser, Family
from scheduler.routing.evidence import Evidence
from scheduler.routing.ranking import Policy, Ranked, rank, rank_proved
from tasks.routing.router import keys_of, proof_key
from tasks.telemetry import Row

# A share that moves less is no change.
CHANGED_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class Subject:
    """The model of a row; with a backend, the row is for requests that ask for that backend first.

    Without a model the row says which browsers have run the family on that backend.
    """

    family: Family
    model: str
    precision: str
    backend: str = ""

    @property
    def key(self) -> str:
        """The key under which the router finds it."""
        if not self.model:
            return proof_key(self.family, self.backend)
        return keys_of(self.family, self.model, self.precision, self.backend)[0]


Rankings = Mapping[Subject, tuple[Ranked, ...]]


def build_table(
    evidence: list[Evidence], policy: Policy, incumbents: Mapping[str, Browser] | None = None
) -> Rankings:
    """The ranking of every model that ran, and of each backend on which two browsers ran it.

    And of each family that ran on WebNN, the browsers that did.
    """
    known = incumbents or {}
    ranked = {
        subject: rank(subject.family, rows, policy, known.get(subject.key))
        for subject, rows in _by_subject(evidence).items()
    }
    proved = {
        Subject(family, "", "", Backend.WEBNN): rank_proved(family, Backend.WEBNN, evidence, policy)
        for family in dict.fromkeys(each.family for each in evidence)
    }
    return ranked | {subject: rows for subject, rows in proved.items() if rows}


def rank_subject(subject: Subject, evidence: list[Evidence], policy: Policy) -> tuple[Ranked, ...]:
    """The ranking for one subject, measured or not."""
    rows = [
        each
        for each in evidence
        if (each.family, each.model, each.precision) == (subject.family, subject.model, subject.precision)
        and subject.backend in ("", each.backend)
    ]
    return rank(subject.family, rows, policy)


def _by_subject(evidence: list[Evidence]) -> dict[Subject, list[Evidence]]:
    found: dict[Subject, list[Evidence]] = {}
    for each in evidence:
        found.setdefault(Subject(each.family, each.model, each.precision), []).append(each)
        if each.backend:
            special = Subject(each.family, each.model, each.precision, each.backend)
            found.setdefault(special, []).append(each)
    return {
        subject: rows
        for subject, rows in found.items()
        if not subject.backend or len({row.browser for row in rows}) > 1
    }


def write_table(table: Rankings, at: float) -> str:
    """The table as JSON for Redis; `tasks.routing.routing_table` reads it. `at`: seconds since 1970."""
    entries = {
        subject.key: [_plain(each) for each in ranking if each.share or not each.n_runs or each.n_fresh]
        for subject, ranking in table.items()
    }
    return json.dumps({"at": at, "entries": entries})


def _plain(each: Ranked) -> dict[str, object]:
    expected = None if each.expected_ms is None else round(each.expected_ms, 3)
    return {
        "browser": str(each.browser),
        "share": each.share,
        "reason": each.reason,
        "backend": each.backend,
        "expected_ms": expected,
        "measured_ms": None if each.measured_ms is None else round(each.measured_ms, 3),
        "error_factor": round(each.error_factor, 3),
        "n_runs": each.n_runs,
        "chance": round(each.chance, 3),
    }


def read_incumbents(published: bytes | str | None) -> dict[str, Browser]:
    """The best browser of a published table, by key; empty if the text is no table."""
    try:
        entries = json.loads(published)["entries"] if published else {}
        return {key: Browser(rows[0]["browser"]) for key, rows in entries.items() if rows}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def read_shares(published: bytes | str | None) -> dict[str, dict[str, float]]:
    """The shares of a published table, by key and browser."""
    try:
        entries = json.loads(published)["entries"] if published else {}
        return {
            key: {row["browser"]: float(row["share"]) for row in rows}
            for key, rows in entries.items()
            if rows
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def changes(table: Rankings, before: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Rows for the history, of rankings whose shares changed since the last table."""
    rows: list[Row] = []
    for subject, ranking in table.items():
        if not subject.model:
            continue  # which browsers can, not which is quick
        old = before.get(subject.key, {})
        if any(abs(each.share - old.get(each.browser, 0.0)) > CHANGED_SHARE for each in ranking):
            rows += [_row(subject, each) for each in ranking if each.share or old.get(each.browser)]
    return rows


def _row(subject: Subject, each: Ranked) -> Row:
    return "routing", {
        "model": subject.model,
        "family": str(subject.family),
        "browser": str(each.browser),
        "backend": subject.backend,
        "precision": subject.precision,
        "score": each.expected_ms,
        "share": each.share,
        "reason": each.reason,
    }
