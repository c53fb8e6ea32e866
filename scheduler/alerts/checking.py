"""One check: look, judge, remember, tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from celery.utils.log import get_logger

from scheduler.alerts.alert import News, Notice
from scheduler.alerts.conditions import AlertThresholds, Conditions
from scheduler.alerts.delivering import deliver_due
from scheduler.alerts.following import follow
from scheduler.alerts.memory import Memory
from scheduler.alerts.notifications import write_letter
from scheduler.alerts.rules import judge
from scheduler.alerts.targets import Target

log = get_logger(__name__)


def check_alerts(
    memory: Memory,
    targets: Sequence[Target],
    look: Callable[[], Conditions],
    limits: AlertThresholds,
    clock: Callable[[], float],
) -> list[Notice]:
    """The news of this check, remembered and on its way. Two at a time would tell everything twice.

    `clock` gives seconds since 1970.
    """
    found, unseen = judge(look(), limits)
    followed = follow(memory.open_alerts(), found, unseen, clock())
    _log(followed.notices)
    receivers = tuple(target.id for target in targets)
    letters = [write_letter(notice, receivers, clock()) for notice in followed.notices if receivers]
    memory.remember(followed, letters)
    deliver_due(memory, targets, clock())
    return followed.notices


def _log(notices: Sequence[Notice]) -> None:
    """Whoever reads the log is told too, also where no receiver is set."""
    for notice in notices:
        tell = log.warning if notice.news is News.CLOSED else log.error
        tell("%s: %s", notice.title, notice.body)
