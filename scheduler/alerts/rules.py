"""The rules: conditions -> alerts. One function per source; None if it could not be observed. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from browser_runtime.contract.setup import remedies
from scheduler.alerts.alert import Alert, Severity
from scheduler.alerts.conditions import (
    AlertThresholds,
    Conditions,
    ErrorCount,
    OpenBreaker,
    QueueHealth,
    Regression,
)

Rule = Callable[[Conditions, AlertThresholds], "list[Alert] | None"]

UNITS = {"latency": "ms", "throughput": "items/s", "memory": "MB"}
# One-sided 95 % quantile of the normal distribution.
ONE_IN_TWENTY = 1.6449
# Fewer failures are no alert, even if every run failed.
FEWEST_FAILURES = 5
# Above this share the model is unusable there.
MOST_FAIL = 0.5
SEVERITIES = {str(severity) for severity in Severity}


def judge(seen: Conditions, limits: AlertThresholds) -> tuple[list[Alert], frozenset[str]]:
    """All alerts, and the sources that could not be observed."""
    judged = {source: rule(seen, limits) for source, rule in RULES.items()}
    found = [alert for alerts in judged.values() for alert in alerts or ()]
    return found, frozenset(source for source, alerts in judged.items() if alerts is None)


def find_regressions(seen: Conditions, limits: AlertThresholds) -> list[Alert] | None:
    """One alert per series and metric, for changes of at least medium severity."""
    if seen.regressions is None:
        return None
    return [_regression(found) for found in seen.regressions if found.severity in SEVERITIES]


def _regression(found: Regression) -> Alert:
    why = f" At the same time: {found.cause}." if found.cause else ""
    unit = UNITS.get(found.metric, "")
    change = (found.after - found.before) / found.before if found.before else 0.0
    return Alert(
        f"regression:{found.metric}:{found.series}",
        Severity(found.severity),
        f"{found.metric} {change:+.0%}: {found.series}",
        f"{found.metric} of {found.series} went from {found.before:.4g} to {found.after:.4g} {unit} "
        f"({change:+.1%}) at {found.changed_at} UTC.{why} `webinfer report` shows the series.",
    )


def find_open_breakers(seen: Conditions, limits: AlertThresholds) -> list[Alert] | None:
    """One alert per worker, since its sessions come and go."""
    if seen.breakers is None:
        return None
    by_worker: dict[str, list[OpenBreaker]] = {}
    for breaker in seen.breakers:
        by_worker.setdefault(breaker.worker, []).append(breaker)
    return [_breakers(worker, found) for worker, found in by_worker.items()]


def _breakers(worker: str, found: list[OpenBreaker]) -> Alert:
    names = ", ".join(sorted(breaker.session for breaker in found))
    word = "session takes" if len(found) == 1 else "sessions take"
    return Alert(
        f"breaker:{worker}",
        Severity.MEDIUM,
        f"{len(found)} {word} no requests on {worker}",
        f"The breaker of {names} ({found[0].browser}) on {worker} is open: too many requests failed there. "
        f"It is tried again by itself; if it stays open, look at the worker's log.",
    )


def find_errors(seen: Conditions, limits: AlertThresholds) -> list[Alert] | None:
    """One alert per model and browser whose share of failures is significantly above the limit."""
    if seen.errors is None:
        return None
    return [_errors(found) for found in seen.errors if _is_failing(found, limits.error_rate)]


def _is_failing(found: ErrorCount, limit: float) -> bool:
    return found.n_failed >= FEWEST_FAILURES and least_share(found.n_failed, found.n) > limit


def _errors(found: ErrorCount) -> Alert:
    where = f"{found.model or 'unknown models'} on {found.browser or 'no browser'}"
    share = found.n_failed / found.n
    return Alert(
        f"errors:{where}",
        Severity.HIGH if least_share(found.n_failed, found.n) > MOST_FAIL else Severity.MEDIUM,
        f"{share:.0%} of the runs of {where} fail",
        f"{found.n_failed} of {found.n} runs of {where} failed of late: {found.codes}. "
        f"`webinfer report --model {found.model}` shows since when; the worker's log says why.",
    )


def least_share(n_failed: int, n: int) -> float:
    """The lower end of Wilson's 95 % interval for the share of failures.

    A few failures in few runs are weak evidence; the same share of many runs is strong.
    """
    if n_failed == 0:
        return 0.0
    share, square = n_failed / n, ONE_IN_TWENTY**2
    middle = share + square / (2 * n)
    spread = ONE_IN_TWENTY * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return max((middle - spread) / (1 + square / n), 0.0)


def find_dead_queues(seen: Conditions, limits: AlertThresholds) -> list[Alert] | None:
    """One alert per queue whose canary was answered wrongly, not at all, or not for long."""
    if seen.queues is None:
        return None
    # Without beat no canaries are sent: that is one alert, not one more per queue.
    beats = seen.beat is None or not seen.beat.dead_for_s
    limit_s = limits.canary_age_s if beats else math.inf
    return [alert for queue in seen.queues if (alert := _queue(queue, limit_s))]


def _queue(queue: QueueHealth, limit_s: float) -> Alert | None:
    if queue.ok and queue.age_s <= limit_s:
        return None
    why = queue.reason if not queue.ok else f"no canary came back for {queue.age_s:.0f} s"
    text = f"The canary job of queue {queue.queue} was not answered right: {why}."
    return Alert(f"queue:{queue.queue}", Severity.HIGH, f"queue {queue.queue} is dead", text)


def find_silent_beat(seen: Conditions, limits: AlertThresholds) -> list[Alert] | None:
    """An alert if beat is silent, or does not send some entries."""
    if seen.beat is None:
        return None
    if seen.beat.dead_for_s > limits.beat_dead_s:
        text = (
            f"Beat gave no sign of life for {seen.beat.dead_for_s:.0f} s: no health checks, no autoscaling, "
            f"no reports. Start it: {remedies.BEAT}"
        )
        return [Alert("beat:silent", Severity.HIGH, "beat is silent", text)]
    if seen.beat.dead_for_s or not seen.beat.late:
        return []
    text = f"Beat lives, but did not send {', '.join(seen.beat.late)} for several of their periods."
    return [Alert("beat:late", Severity.MEDIUM, "beat forgets entries of the timetable", text)]


def find_dead_letters(seen: Conditions, limits: AlertThresholds) -> list[Alert] | None:
    """One alert per queue with recent dead letters."""
    if seen.letters is None:
        return None
    by_queue = Counter(letter.queue or "an unknown queue" for letter in seen.letters)
    last = {letter.queue or "an unknown queue": letter.why for letter in seen.letters}
    return [
        Alert(
            f"letters:{queue}",
            Severity.MEDIUM,
            f"dead letters from {queue}",
            f"{n} messages of {queue} could not be read as tasks within the last hour; "
            f"the last: {last[queue]}. They are kept in the Redis stream dead-letters.",
        )
        for queue, n in by_queue.items()
    ]


def find_lost_history(seen: Conditions, limits: AlertThresholds) -> list[Alert] | None:
    """An alert if the analytics worker does not answer: nothing is recorded then."""
    if seen.history_away_s <= limits.history_away_s:
        return []
    text = (
        f"The analytics worker has not answered for {seen.history_away_s:.0f} s: rows wait in Redis, "
        f"regressions and breakers cannot be seen. Start it: {remedies.ANALYTICS}"
    )
    return [Alert("history:away", Severity.HIGH, "the history does not answer", text)]


def find_redis_troubles(seen: Conditions, limits: AlertThresholds) -> list[Alert] | None:
    """Alerts if Redis takes no more requests, or no writes at all."""
    if seen.redis is None:
        return None
    state, found = seen.redis, []
    if state.limit_bytes and state.used_bytes > state.accepted_share * state.limit_bytes:
        text = (
            f"It uses {state.used_bytes / 1e6:.0f} of {state.limit_bytes / 1e6:.0f} MB, and requests are "
            f"refused from {state.accepted_share:.0%} on (WEBINFER_REDIS_MEMORY_SHARE). Start more workers, "
            f"let results go sooner (WEBINFER_RESULT_TTL_S), or give Redis more memory."
        )
        found.append(Alert("redis:memory", Severity.HIGH, "Redis is nearly full", text))
    if state.saves_fail:
        text = "Its last save failed, so it may refuse all writes. Its log says why: often its disk is full."
        found.append(Alert("redis:saving", Severity.HIGH, "Redis cannot save", text))
    return found


def find_wrong_clocks(seen: Conditions, limits: AlertThresholds) -> list[Alert] | None:
    """One alert per worker whose clock differs from Redis's."""
    if seen.redis is None:
        return None
    return [
        Alert(
            f"clock:{worker}",
            Severity.MEDIUM,
            f"the clock of {worker} is wrong",
            f"It is {abs(ahead_s):.1f} s {'ahead of' if ahead_s > 0 else 'behind'} that of Redis. No request "
            f"is lost or run twice for that, but waiting times are wrong. Synchronise both machines (NTP).",
        )
        for worker, ahead_s in sorted(seen.redis.clocks.items())
        if abs(ahead_s) > limits.clock_skew_s
    ]


RULES: dict[str, Rule] = {
    "regression": find_regressions,
    "breaker": find_open_breakers,
    "errors": find_errors,
    "queue": find_dead_queues,
    "beat": find_silent_beat,
    "letters": find_dead_letters,
    "history": find_lost_history,
    "redis": find_redis_troubles,
    "clock": find_wrong_clocks,
}
