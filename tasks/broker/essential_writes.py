"""A Redis client whose writes are done although Redis is at its memory limit, and clear words for a refusal.

At `maxmemory` Redis refuses every command that may need memory, even those of a worker that frees more than
it needs: to take a message, to store its result. In a script Redis asks only before the first write, and a
deletion is allowed. So what was refused is done again by a script that first deletes what is not there.
Memory grows past the limit by the results of what waits; senders are refused long before
(`tasks.sending.admission`).
"""

from __future__ import annotations

import re
from typing import Any

import redis
from redis.client import Pipeline
from redis.commands.core import Script
from redis.exceptions import ExecAbortError

from tasks.keys import NOTHING

FIRST_WRITE = f"redis.call('DEL', '{NOTHING}')\n"
RUN = (
    FIRST_WRITE
    + """
local replies, at = {}, 1
while at <= #ARGV do
  local n = tonumber(ARGV[at])
  replies[#replies + 1] = redis.pcall(unpack(ARGV, at + 1, at + n))
  at = at + n + 1
end
return replies
"""
)
# Not commands that another script could run.
SCRIPTS = ("EVAL", "EVALSHA")
# A failed save, a replica, too few replicas: no write at all is taken until that has changed.
REFUSALS = re.compile(r"\b(MISCONF|READONLY|NOREPLICAS|MASTERDOWN)\b|read only replica")

Command = tuple[tuple[Any, ...], dict[str, Any]]


class WritesRefused(redis.ConnectionError):
    """Redis answers and takes no writes: an outage to all who wait for its end."""


def find_refusal(error: BaseException | None) -> str | None:
    """Why Redis refuses to write, from the error or its causes; None if it does not."""
    while error is not None:
        if isinstance(error, redis.OutOfMemoryError):
            return "Redis has no memory left (maxmemory)"
        if isinstance(error, WritesRefused) or _refuses(error):
            return str(error)
        error = error.__cause__ or error.__context__
    return None


def _refuses(error: BaseException) -> bool:
    return isinstance(error, redis.ResponseError) and bool(REFUSALS.search(str(error)))


def _is_memory(error: Exception) -> bool:
    """True for the refusal of a transaction too, which tells its reason in its text alone."""
    return isinstance(error, redis.OutOfMemoryError) or "OOM" in str(error)


class EssentialRedis(redis.Redis):
    """A client of a process that serves: its writes are what empties Redis."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """The reply of one command. Raises WritesRefused."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.OutOfMemoryError:
            if args[0] in SCRIPTS:
                raise
            return _single(run_in_script(self, [(args, options)]))
        except redis.ResponseError as error:
            raise _translated(error) from error

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Pipeline:
        """A pipeline that insists likewise."""
        return EssentialPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def register_script(self, script: Any) -> Script:
        """The script, allowed to write whatever the memory."""
        return super().register_script(FIRST_WRITE + script)


class EssentialPipeline(Pipeline):
    """Commands in one round trip; those that are refused for want of memory are done by a script."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """All replies. Raises WritesRefused."""
        stack, watching = list(self.command_stack), self.explicit_transaction
        try:
            if watching or vars(self)["transaction"]:
                return super().execute(raise_on_error)
            replies = super().execute(raise_on_error=False)
        except (redis.OutOfMemoryError, ExecAbortError) as error:
            if watching or not _is_memory(error):
                raise
            return self._checked(stack, run_in_script(self._client(), stack), raise_on_error)
        except redis.ResponseError as error:
            raise _translated(error) from error
        refused = [n for n, reply in enumerate(replies) if isinstance(reply, redis.OutOfMemoryError)]
        if refused:
            again = run_in_script(self._client(), [stack[n] for n in refused])
            for n, reply in zip(refused, again, strict=True):
                replies[n] = reply
        return self._checked(stack, replies, raise_on_error)

    def _client(self) -> redis.Redis:
        return redis.Redis(connection_pool=self.connection_pool)

    def _checked(self, stack: list[Command], replies: list[Any], raise_on_error: bool) -> list[Any]:
        if raise_on_error:
            try:
                self.raise_first_error(stack, replies)  # type: ignore[no-untyped-call]
            except redis.ResponseError as error:
                raise _translated(error) from error
        return replies


def _translated(error: redis.ResponseError) -> redis.RedisError:
    return WritesRefused(f"Redis refuses writes: {error}") if _refuses(error) else error


def run_in_script(client: redis.Redis, commands: list[Command]) -> list[Any]:
    """The commands' replies, or their errors; all are run in one step, but for scripts among them."""
    if any(args[0] in SCRIPTS for args, _ in commands):  # which no script can run
        return [_alone(client, command) for command in commands]
    flat: list[Any] = []
    for args, _ in commands:
        words = [*str(args[0]).split(), *args[1:]]
        flat += [len(words), *words]
    replies: list[Any] = redis.Redis.execute_command(client, "EVAL", RUN, 0, *flat)  # type: ignore[no-untyped-call]
    return [_parsed(client, *command, reply) for command, reply in zip(commands, replies, strict=True)]


def _alone(client: redis.Redis, command: Command) -> Any:
    args, options = command
    if args[0] not in SCRIPTS:
        return run_in_script(client, [command])[0]
    try:
        return redis.Redis.execute_command(client, *args, **options)  # type: ignore[no-untyped-call]
    except redis.ResponseError as error:
        return error


def _parsed(client: redis.Redis, args: tuple[Any, ...], options: dict[str, Any], reply: Any) -> Any:
    callbacks: Any = client.response_callbacks
    callback = callbacks.get(args[0])
    if callback is None or isinstance(reply, Exception):
        return reply
    return callback(reply, **{name: value for name, value in options.items() if name != "keys"})


def _single(replies: list[Any]) -> Any:
    if isinstance(replies[0], Exception):
        raise replies[0]
    return replies[0]
