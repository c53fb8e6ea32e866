"""Pending notifications: their targets, and the time of the next try. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from scheduler.alerts.alert import Notice

FIRST_WAIT_S = 15.0
MAX_WAIT_S = 900.0
# A receiver that is down for longer will not get that notification.
GIVE_UP_AFTER_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Notification:
    """A notice to be delivered to `targets`, which have not taken it yet. Times: seconds since 1970."""

    title: str
    body: str
    news: str
    severity: str
    written_at_s: float
    targets: tuple[str, ...]
    n_tries: int = 0
    due_at_s: float = 0.0

    def to_plain(self) -> dict[str, object]:
        """A dict for JSON; `from_plain` is the inverse."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Notification:
        """The notification that `to_plain` made `plain` of."""
        return cls(**{**plain, "targets": tuple(plain["targets"])})


def write_notification(notice: Notice, targets: tuple[str, ...], now_s: float) -> Notification:
    """The notification for `notice`, due at once."""
    return Notification(
        notice.title, notice.body, notice.news, notice.alert.severity, now_s, targets, due_at_s=now_s
    )


def after_try(sent: Notification, taken: Mapping[str, bool], now_s: float) -> Notification | None:
    """The notification for the targets that refused it, due later; None if all took it."""
    left = tuple(target for target in sent.targets if not taken.get(target, False))
    if not left:
        return None
    wait_s = min(FIRST_WAIT_S * 2**sent.n_tries, MAX_WAIT_S)
    return replace(sent, targets=left, n_tries=sent.n_tries + 1, due_at_s=now_s + wait_s)


def is_given_up(notification: Notification, now_s: float) -> bool:
    """True once it was tried for long enough."""
    return notification.n_tries > 0 and now_s - notification.written_at_s >= GIVE_UP_AFTER_S
