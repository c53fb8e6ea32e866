"""Each name in Redis is built in one place, and is what kombu and Celery use."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from kombu.transport.redis import Channel

from tasks.app import app
from tasks.keys import RESULTS, RedisKeys, queue_lists

HOME = Path(__file__).parents[2]
ROOMS = ("browser_runtime", "tasks", "workers", "scheduler", "webinfer")
OWN = HOME / "tasks" / "keys.py"
MODULES = sorted(path for room in ROOMS for path in (HOME / room).rglob("*.py") if path != OWN)
SKIPPED = {"node_modules", "vendor"}
KEYS = RedisKeys("any:")
# Those of Redis alone: other things have a `get`, too.
COMMANDS = (
    *("hlen", "hget", "hmget", "hset", "hdel", "hkeys", "hvals", "hgetall", "hscan_iter", "llen", "lrange"),
    *("lpush", "rpush", "ltrim", "lrem", "xadd", "xlen", "xrange", "xrevrange", "zadd", "zrem", "zrange"),
    *("sadd", "smembers", "mget", "expire", "unlink", "scan_iter", "subscribe"),
)


@lru_cache
def own_names() -> frozenset[str]:
    """What follows the prefix in every key, up to the first name that differs from request to request."""
    found = set()
    for name, member in inspect.getmembers(RedisKeys):
        if isinstance(member, property):
            found.add(str(getattr(KEYS, name)))
        elif inspect.isfunction(member) and not name.startswith("_"):
            wanted = list(inspect.signature(member).parameters)[1:]
            found.add(str(member(KEYS, *("?" for _ in wanted))))
    return frozenset(key.removeprefix("any:").partition("?")[0] for key in found)


def built_keys(source: str) -> Iterator[str]:
    """Expressions that make a key: what follows a prefix, a name written out, a command's literal key."""
    nodes = list(ast.walk(ast.parse(source)))
    documentation = {
        id(node.value)
        for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in nodes:
        if id(node) not in documentation and is_key(node):
            yield ast.unparse(node)


def is_key(node: ast.AST) -> bool:
    """Whether this expression makes a key."""
    match node:
        case ast.JoinedStr(values=[ast.FormattedValue(value=first), _, *_]):
            return is_prefix(first)
        case ast.BinOp(op=ast.Add(), left=left):
            return is_prefix(left)
        case ast.Constant(value=str(text)):
            return is_written_out(text)
        case ast.Call(
            func=ast.Attribute(attr=command), args=[ast.Constant(value=str()) | ast.JoinedStr(), *_]
        ):
            return command in COMMANDS
    return False


def is_written_out(text: str) -> bool:
    """Whether a text is one of the names."""
    # An alert about the beat has a name that begins like a key of the beat.
    names = [name for name in own_names() if re.search("[:-]", name) and name != "beat:"]
    known = any(text == name or (name.endswith(":") and text.startswith(name)) for name in names)
    return known or bool(re.match(r"webinfer:\w", text)) or text in (RESULTS[:-1], Channel.sep)


def is_prefix(node: ast.expr) -> bool:
    """Whether an expression is the keys' prefix by its name."""
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in ("prefix", "_prefix", "redis_prefix", "ledger_prefix")


@pytest.mark.parametrize(
    "source",
    [
        "key = f'{prefix}claim:{token}'",
        "key = f'{self._prefix}{name}'",
        "key = settings.redis_prefix + 'regression'",
        "key = 'webinfer:serving:edge-text'",
        "NAME = 'dead-letters'",
        "client.hlen('unacked')",
        "client.get('celery-task-meta-')",
        "SEPARATOR = '\\x06\\x16'",
    ],
)
def test_a_key_built_elsewhere_is_found(source: str) -> None:
    assert list(built_keys(source))


def test_no_other_module_builds_a_key() -> None:
    assert len(MODULES) > 200
    found = {
        f"{path.relative_to(HOME)}: {key}"
        for path in MODULES
        if not SKIPPED & set(path.parts)
        for key in built_keys(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_no_two_keys_are_the_same() -> None:
    names = [name for name in own_names() if name]
    assert len(names) == sum(not name.startswith("_") for name in dir(RedisKeys)) - 1  # the prefix itself


def test_queue_lists_are_those_of_kombu() -> None:
    channel = object.__new__(Channel)  # what is looked up needs no connection
    theirs = [channel._q_for_pri("chrome-vision", step) for step in channel.priority_steps]
    assert queue_lists("chrome-vision") == theirs
    # The app sets none of the options that would give them other names.
    assert not {"sep", "priority_steps", "global_keyprefix"} & set(app.conf.broker_transport_options)


def test_results_are_found_by_their_pattern() -> None:
    key = app.backend.get_key_for_task("an-id").decode()
    assert key == RESULTS.replace("*", "an-id")
