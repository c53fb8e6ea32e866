"""Takes letters from the outbox to their targets: at least once each, and never lost without a word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from celery.utils.log import get_logger

from scheduler.alerts.memory import Memory
from scheduler.alerts.notifications import Notification, after_try, is_given_up
from scheduler.alerts.targets import Target

log = get_logger(__name__)


def deliver_due(memory: Memory, targets: Sequence[Target], now_s: float) -> None:
    """Every letter that is due is tried once; what is left of it is due again later."""
    by_id = {target.id: target for target in targets}
    due = {name: letter for name, letter in memory.letters().items() if letter.due_at_s <= now_s}
    for name, letter in due.items():
        memory.settle(name, _deliver(letter, by_id, now_s))


def _deliver(letter: Notification, by_id: Mapping[str, Target], now_s: float) -> Notification | None:
    """What is left of `letter` after one try."""
    known = tuple(target for target in letter.targets if target in by_id)
    if len(known) < len(letter.targets):
        log.error("alert %r: a target was removed from the settings before it took it", letter.title)
    taken = {target: _send(letter, by_id[target]) for target in known}
    left = after_try(replace(letter, targets=known), taken, now_s)
    if left is not None and is_given_up(left, now_s):
        names = ", ".join(by_id[target].name for target in left.targets)
        log.critical("alert %r given up after %d tries: %s", letter.title, left.n_tries, names)
        return None
    return left


def _send(letter: Notification, target: Target) -> bool:
    receipt = target.send(letter.title, letter.body, letter.news)
    if not receipt.taken:
        log.error(
            "alert %r not taken by %s (try %d): %s",
            letter.title,
            target.name,
            letter.n_tries + 1,
            receipt.why,
        )
    return receipt.taken
