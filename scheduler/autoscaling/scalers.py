"""Scalers outside this process: docker compose and Kubernetes, by their own commands.

Which commands is decided by pure functions; only `run_all` runs them.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from browser_runtime.contract.errors import InferenceError, NotReady
from scheduler.autoscaling.desired import DesiredWorkers

# A worker's grace time and its browsers' end, with room.
STOP_S = 60
COMMAND_TIMEOUT_S = 300.0
# Kubernetes removes pods with the lowest cost first; the others have 0.
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost=-100"

# What docker and kubectl say of something that is not there (any more).
GONE = ("No such container", "(NotFound)")


@dataclass(frozen=True, slots=True)
class Command:
    """One command; some ask for the end of something that may have ended already."""

    words: tuple[str, ...]
    may_be_gone: bool = False

    def __str__(self) -> str:
        return shlex.join(self.words)


class ScalerFailed(InferenceError):
    """`{0}` failed: {1}"""


class Scaler(Protocol):
    """Names the commands that bring about a number of workers."""

    def commands(self, wanted: DesiredWorkers) -> list[Command]:
        """What to run, in this order."""


@dataclass(frozen=True, slots=True)
class ComposeScaler:
    """`docker compose up --scale`; the workers to stop are stopped first, by their container."""

    services: Mapping[str, str]
    """Compose service by queue."""
    program: tuple[str, ...] = ("docker", "compose")
    options: tuple[str, ...] = ()
    """Like `-f FILE` or `-p PROJECT`."""

    def commands(self, wanted: DesiredWorkers) -> list[Command]:
        """A container's host name is its id, unless the file sets another."""
        service = self.services[wanted.queue]
        stops = [
            Command(("docker", *words, container), may_be_gone=True)
            for container in hosts(wanted.stop)
            for words in (("stop", "--time", str(STOP_S)), ("rm",))
        ]
        up = (*self.program, *self.options, "up", "--detach", "--no-recreate", "--no-deps")
        return [*stops, Command((*up, "--scale", f"{service}={wanted.n}", service))]


@dataclass(frozen=True, slots=True)
class KubernetesScaler:
    """`kubectl scale`; the workers to stop are marked as the cheapest to remove."""

    deployments: Mapping[str, str]
    """Deployment by queue."""
    namespace: str = "default"

    def commands(self, wanted: DesiredWorkers) -> list[Command]:
        """A pod's host name is its name."""
        kubectl = ("kubectl", "--namespace", self.namespace)
        mark = (*kubectl, "annotate", "--overwrite", "pod")
        marks = [Command((*mark, pod, DELETION_COST), may_be_gone=True) for pod in hosts(wanted.stop)]
        deployment = f"deployment/{self.deployments[wanted.queue]}"
        return [*marks, Command((*kubectl, "scale", deployment, f"--replicas={wanted.n}"))]


def hosts(workers: Sequence[str]) -> list[str]:
    """The host names in worker names like `chrome@0123456789ab`."""
    return [host for _, _, host in (name.partition("@") for name in workers) if host]


def run_all(commands: Sequence[Command]) -> None:
    """Run them one after the other. Raises SetupError or ScalerFailed at the first that does not succeed.

    A decision names those to stop until they are silent, so that none is forgotten: what is gone is done.
    """
    for command in commands:
        try:
            done = subprocess.run(
                command.words, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ScalerFailed(str(command), f"not done after {error.timeout:.0f} s") from error
        except OSError as error:
            raise NotReady(f"`{command.words[0]}` cannot be run", str(error)) from error
        output = (done.stderr or done.stdout).strip()
        is_gone = command.may_be_gone and any(words in output for words in GONE)
        if done.returncode and not is_gone:
            raise ScalerFailed(str(command), output.splitlines()[-1] if output else "it says nothing")


class Follower:
    """Follows each new decision once; one that failed is tried again at the next look."""

    def __init__(self, scaler: Scaler, queues: Sequence[str]) -> None:
        self._scaler, self._queues = scaler, queues
        self._done: dict[str, int] = {}

    def plan(self, desired: Mapping[str, DesiredWorkers]) -> list[tuple[DesiredWorkers, list[Command]]]:
        """The decisions to follow now, with their commands; those of a dry run are left out."""
        fresh = (
            wanted
            for queue, wanted in sorted(desired.items())
            if queue in self._queues and not wanted.dry_run and self._done.get(queue) != wanted.n
        )
        return [(wanted, self._scaler.commands(wanted)) for wanted in fresh]

    def fulfilled(self, wanted: DesiredWorkers) -> None:
        """It was done."""
        self._done[wanted.queue] = wanted.n
