"""Messages mutated at random between good ones: all good ones answered, no slot and no message left behind.

python -m tests.exercises.message_fuzz [--seed 1] [--messages 300]    a worker without browsers, its own Redis
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.exercises.recoveries import ASK, QUEUE, TIMEOUT_S, Cluster
from tests.processes import kill

JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1e308, float("nan"), float("inf"), 10**30, -(10**30)),
    *("", "x", "30", "\x00", "\ud800", "9" * 3000, "a" * 200_000, "../../etc/passwd"),
    *([], [None], {}, {"a": None}, [[[]]], {"__proto__": 1}),
)
# Fields of Celery's that a message has, or may have.
FIELDS = (
    *("eta", "expires", "timelimit", "errbacks", "callbacks", "chain", "chord", "group", "retries"),
    *("root_id", "stamps", "stamped_headers", "replaced_task_nesting", "x"),
)
# A good one after so many.
EVERY = 10
# How often: the body in place of the envelope; a message cut off.
BODY, CUT = 0.4, 0.05

Path_ = tuple[Any, ...]


def list_paths(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every field, at every depth."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from list_paths(inner, (*path, key))


def mutate(value: Any, chance: random.Random) -> Any:
    """The value with one field missing, added, or in another one's place."""
    paths = list(list_paths(value))[1:]
    if not paths:
        return chance.choice(JUNK)
    *before, last = chance.choice(paths)
    holder = value
    for key in before:
        holder = holder[key]
    draw = chance.random()
    if draw < 0.15 and isinstance(holder, dict):
        del holder[last]
    elif draw < 0.25 and isinstance(holder, dict):
        holder[chance.choice(FIELDS)] = chance.choice(JUNK)
    else:
        holder[last] = chance.choice(JUNK)
    return value


@dataclass
class Fuzzer:
    """A good message, and what is made of it."""

    good: dict[str, Any]
    chance: random.Random

    def make(self, number: int) -> bytes | None:
        """Message `number`, mutated once or several times; None where it cannot even be written."""
        message = json.loads(json.dumps(self.good))
        message["properties"]["delivery_tag"] = f"tag-{number}"
        message["headers"]["id"] = message["properties"]["correlation_id"] = f"fuzz-{number}"
        for _ in range(self.chance.choice((1, 1, 1, 2, 4))):
            if self.chance.random() < BODY:
                self._mutate_body(message)
            else:
                mutated = mutate(message, self.chance)
                message = mutated if isinstance(mutated, dict) else message
        text = json.dumps(message)
        if self.chance.random() < CUT:
            text = text[: self.chance.randrange(len(text))]
        with contextlib.suppress(UnicodeEncodeError):
            return text.encode()
        return None

    def _mutate_body(self, message: dict[str, Any]) -> None:
        from tasks.payloads.codec import dumps, loads

        args, kwargs, embedded = loads(base64.b64decode(self.good["body"]))
        with contextlib.suppress(Exception):  # what the codec refuses to write nobody can send
            body = dumps(mutate([list(args), dict(kwargs), dict(embedded)], self.chance))
            message["body"] = base64.b64encode(body).decode()


@dataclass
class Outcome:
    """What a run left."""

    n_sent: int = 0
    n_good: int = 0
    n_buried: int = 0
    """Dead letters, of those that were nothing to run."""
    failed: list[str] = field(default_factory=list)
    """Good requests that were not answered."""
    left: dict[str, Any] = field(default_factory=dict)
    """What is not as before: slots, messages, errors in the log."""

    @property
    def is_clean(self) -> bool:
        return not (self.failed or self.left)


Started = tuple["subprocess.Popen[bytes]", Path]
"""A worker and its log."""


def run_fuzz(seed: int, n_messages: int, start: Callable[[], Started]) -> Outcome:
    """Send the messages of that seed to a worker that `start` starts; what it left."""
    from tasks import app, infer
    from tasks.keys import RedisKeys

    chance, outcome, results = random.Random(seed), Outcome(), []
    infer.delay(**ASK, options={"normalize": True})
    fuzzer = Fuzzer(json.loads(app.redis.lpop(QUEUE)), chance)
    worker = start()
    try:
        for number in range(n_messages):
            if (message := fuzzer.make(number)) is not None:
                app.redis.lpush(QUEUE, message)
                outcome.n_sent += 1
            if number % EVERY == 0:
                results.append(infer.delay(**ASK))
        outcome.n_good = len(results)
        for result in results:
            try:
                assert result.get(timeout=TIMEOUT_S)["success"]
            except Exception as error:
                outcome.failed.append(repr(error)[:300])
        outcome.left = _await_calm(worker)
        outcome.n_buried = int(app.redis.xlen(RedisKeys("webinfer:").dead_letters))
    finally:
        kill(worker[0])
    return outcome


def _await_calm(worker: Started) -> dict[str, Any]:
    deadline = time.monotonic() + 60.0
    while (left := _look(worker)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def _look(worker: Started) -> dict[str, Any]:
    """What is left, by name."""
    from tasks import app
    from tasks.keys import UNACKED

    process, output = worker
    if process.poll() is not None:
        return {"worker": f"ended with {process.returncode}"}
    stats: dict[str, Any] = next(iter((app.control.inspect(timeout=10).stats() or {}).values()), {})
    pool = stats.get("pool", {"no answer": True})
    log = output.read_text(errors="replace")
    held = {name.decode(errors="replace"): value[:2000] for name, value in app.redis.hgetall(UNACKED).items()}
    found = {
        "slots": {name: pool[name] for name in ("running", "waiting", "no answer") if pool.get(name)},
        "held": held,
        "queued": {key: n for key in app.redis.keys(f"{QUEUE}*") if (n := _length(key))},
        "log": [line for line in log.splitlines() if "turn failed" in line or "not reported" in line],
    }
    return {name: value for name, value in found.items() if value}


def _length(key: bytes) -> int:
    from tasks import app

    return int(app.redis.llen(key)) if app.redis.type(key) == b"list" else 0


def _start(cluster: Cluster) -> Started:
    worker = cluster.start_worker().ready()
    return worker.process, worker.output


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--messages", type=int, default=300)
    asked, n_bad = parser.parse_args(), 0
    with tempfile.TemporaryDirectory(prefix="wi-", dir="/tmp") as folder:
        cluster = Cluster(Path(folder))
        os.environ |= {"WEBINFER_BROKER_URL": cluster.url, "WEBINFER_WAIT_FOR_WORKERS": "true"}
        server = cluster.start_redis()
        try:
            for seed in asked.seed or [1]:
                outcome = run_fuzz(seed, asked.messages, partial(_start, cluster))
                n_bad += not outcome.is_clean
                good = f"{outcome.n_good} good, {len(outcome.failed)} of them not answered"
                print(f"seed {seed}: {outcome.n_sent} mutated, {outcome.n_buried} buried; {good}")
                for line in (f"left: {outcome.left or 'nothing'}", *outcome.failed):
                    print(f"  {line}", flush=True)
        finally:
            kill(server)
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
