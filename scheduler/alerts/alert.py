"""Alerts, their severity, and notices about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """The severity of an alert."""

    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """A number for comparisons; larger is worse."""
        return list(Severity).index(self)


class News(StrEnum):
    """The kind of a notice."""

    OPENED = "opened"
    WORSE = "worse"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Alert:
    """A problem. `key` is `<source>:<what>` and stays the same while the problem lasts."""

    key: str
    severity: Severity
    title: str
    text: str

    @property
    def source(self) -> str:
        """The name of the rule that found it."""
        return self.key.partition(":")[0]


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that has been notified and is not over. Times are seconds since 1970, UTC."""

    alert: Alert
    opened_at_s: float
    n_clear: int = 0
    """Checks in a row that did not find it."""

    def to_plain(self) -> dict[str, object]:
        """A dict for JSON; `from_plain` is the inverse."""
        return asdict(self.alert) | {"opened_at_s": self.opened_at_s, "n_clear": self.n_clear}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> OpenAlert:
        """The alert that `to_plain` made `plain` of."""
        alert = Alert(plain["key"], Severity(plain["severity"]), plain["title"], plain["text"])
        return cls(alert, float(plain["opened_at_s"]), int(plain["n_clear"]))


@dataclass(frozen=True, slots=True)
class Notice:
    """A message about an alert."""

    news: News
    alert: Alert
    open_for_s: float = 0.0

    @property
    def title(self) -> str:
        """The subject line."""
        words = {News.OPENED: self.alert.severity.upper(), News.WORSE: "WORSE", News.CLOSED: "OVER"}
        return f"[webinfer] {words[self.news]}: {self.alert.title}"

    @property
    def body(self) -> str:
        """The message as plain text."""
        if self.news is not News.CLOSED:
            return self.alert.text
        return f"Over after {_duration(self.open_for_s)}. It was: {self.alert.text}"


def _duration(seconds: float) -> str:
    for limit_s, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
