"""Delivers pending notifications to their targets: at least once each, and failures are logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from celery.utils.log import get_logger

from scheduler.alerts.notifications import Notification, after_try, is_given_up
from scheduler.alerts.store import AlertStore
from scheduler.alerts.targets import Target

log = get_logger(__name__)


def deliver_due(store: AlertStore, targets: Sequence[Target], now_s: float) -> None:
    """Try each due notification once; targets that refuse it are tried again later."""
    by_id = {target.id: target for target in targets}
    due = {name: each for name, each in store.notifications().items() if each.due_at_s <= now_s}
    for name, notification in due.items():
        store.replace(name, _deliver(notification, by_id, now_s))


def _deliver(notification: Notification, by_id: Mapping[str, Target], now_s: float) -> Notification | None:
    """The notification with its remaining targets after one try; None if it is done or given up."""
    known = tuple(target for target in notification.targets if target in by_id)
    if len(known) < len(notification.targets):
        log.error("notification %r: target removed from the settings before delivery", notification.title)
    taken = {target: _send(notification, by_id[target]) for target in known}
    left = after_try(replace(notification, targets=known), taken, now_s)
    if left is not None and is_given_up(left, now_s):
        names = ", ".join(by_id[target].name for target in left.targets)
        log.critical("notification %r given up after %d tries: %s", left.title, left.n_tries, names)
        return None
    return left


def _send(notification: Notification, target: Target) -> bool:
    receipt = target.send(notification.title, notification.body, notification.news)
    if not receipt.taken:
        log.error(
            "notification %r not taken by %s (try %d): %s",
            notification.title,
            target.name,
            notification.n_tries + 1,
            receipt.why,
        )
    return receipt.taken
