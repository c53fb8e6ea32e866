"""The state of alerts between checks: open alerts and findings -> open alerts and notices. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from scheduler.alerts.alert import Alert, News, Notice, OpenAlert

# A condition that fluctuates around its limit is one alert, not one per check.
CLEAR_CHECKS = 2


@dataclass(frozen=True, slots=True)
class AlertUpdate:
    """The open alerts after a check, and its notices."""

    open: dict[str, OpenAlert]
    notices: list[Notice]


def follow(
    before: Mapping[str, OpenAlert], found: Iterable[Alert], unseen: Collection[str], now_s: float
) -> AlertUpdate:
    """The update after a check: a notice when an alert opens, each time it gets worse, and when it is over.

    `unseen` names sources that could not be observed; their alerts stay open.
    """
    present = {alert.key: alert for alert in found}
    still: dict[str, OpenAlert] = {}
    notices = []
    for key, alert in present.items():
        still[key], notice = _meet(before.get(key), alert, now_s)
        notices += [notice] if notice else []
    for key in before.keys() - present.keys():
        kept = _miss(before[key], unseen)
        if kept is None:
            notices.append(Notice(News.CLOSED, before[key].alert, now_s - before[key].opened_at_s))
        else:
            still[key] = kept
    return AlertUpdate(still, notices)


def _meet(known: OpenAlert | None, alert: Alert, now_s: float) -> tuple[OpenAlert, Notice | None]:
    """The state of an alert that was found: new, worse, or known."""
    if known is None:
        return OpenAlert(alert, now_s), Notice(News.OPENED, alert)
    worse = alert.severity.rank > known.alert.severity.rank
    notice = Notice(News.WORSE, alert, now_s - known.opened_at_s) if worse else None
    return replace(known, alert=alert, n_clear=0), notice


def _miss(known: OpenAlert, unseen: Collection[str]) -> OpenAlert | None:
    """The state of an alert that was not found; None once it is over."""
    if known.alert.source in unseen:
        return known
    if known.n_clear + 1 >= CLEAR_CHECKS:
        return None
    return replace(known, n_clear=known.n_clear + 1)
