"""The words of this room: an alert, how bad it is, and a notice about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad it is."""

    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """Larger is worse."""
        return list(Severity).index(self)


class News(StrEnum):
    """What happened to an alert."""

    OPENED = "opened"
    WORSE = "worse"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that is wrong now. `key` is `<source>:<what>` and stays the same as long as it lasts."""

    key: str
    severity: Severity
    title: str
    text: str

    @property
    def source(self) -> str:
        """The rule that found it."""
        return self.key.partition(":")[0]


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that a person was told of and that is not over. Times are seconds since 1970, UTC."""

    alert: Alert
    opened_at_s: float
    n_clear: int = 0
    """Checks in a row that did not find it any more."""

    def as_plain(self) -> dict[str, Any]:
        """Itself as JSON can hold it."""
        return asdict(self.alert) | {"opened_at_s": self.opened_at_s, "n_clear": self.n_clear}

    @classmethod
    def from_plain(cls, told: dict[str, Any]) -> OpenAlert:
        """The reverse of `as_plain`."""
        alert = Alert(told["key"], Severity(told["severity"]), told["title"], told["text"])
        return cls(alert, float(told["opened_at_s"]), int(told["n_clear"]))


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told about an alert."""

    news: News
    alert: Alert
    open_for_s: float = 0.0

    @property
    def title(self) -> str:
        """One line."""
        words = {News.OPENED: self.alert.severity.upper(), News.WORSE: "WORSE", News.CLOSED: "OVER"}
        return f"[webinfer] {words[self.news]}: {self.alert.title}"

    @property
    def body(self) -> str:
        """The whole of it, as plain text."""
        if self.news is not News.CLOSED:
            return self.alert.text
        return f"Over after {_duration(self.open_for_s)}. It was: {self.alert.text}"


def _duration(seconds: float) -> str:
    for limit_s, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"
