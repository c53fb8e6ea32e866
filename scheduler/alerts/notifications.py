"""Pure: what is still to be delivered, to whom, and when it is tried again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from scheduler.alerts.alert import Notice

FIRST_WAIT_S = 15.0
MAX_WAIT_S = 900.0
# A receiver that is away for longer than this is not coming back for that notice.
GIVE_UP_AFTER_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Notification:
    """A notice on its way. `targets` are those that have not taken it yet. Times: seconds since 1970."""

    title: str
    body: str
    news: str
    severity: str
    written_at_s: float
    targets: tuple[str, ...]
    n_tries: int = 0
    due_at_s: float = 0.0

    def as_plain(self) -> dict[str, Any]:
        """Itself as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, told: dict[str, Any]) -> Notification:
        """The reverse of `as_plain`."""
        return cls(**told | {"targets": tuple(told["targets"])})


def write_letter(notice: Notice, targets: tuple[str, ...], now_s: float) -> Notification:
    """The letter for `notice`, due at once."""
    return Notification(
        notice.title, notice.body, notice.news, notice.alert.severity, now_s, targets, due_at_s=now_s
    )


def after_try(letter: Notification, taken: Mapping[str, bool], now_s: float) -> Notification | None:
    """What is left of `letter` after its targets said whether they took it; None when nobody is left."""
    left = tuple(target for target in letter.targets if not taken.get(target, False))
    if not left:
        return None
    wait_s = min(FIRST_WAIT_S * 2**letter.n_tries, MAX_WAIT_S)
    return replace(letter, targets=left, n_tries=letter.n_tries + 1, due_at_s=now_s + wait_s)


def is_given_up(letter: Notification, now_s: float) -> bool:
    """Whether it was tried for long enough."""
    return letter.n_tries > 0 and now_s - letter.written_at_s >= GIVE_UP_AFTER_S
