"""Scalers for docker compose and Kubernetes, which call their commands.

Pure functions choose the commands; only `run_all` runs them.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from browser_runtime.contract.errors import InferenceError, NotReady
from scheduler.autoscaling.desired import DesiredWorkers

# A worker's grace period and the end of its browsers, with a margin.
STOP_S = 60
COMMAND_TIMEOUT_S = 300.0
# Kubernetes removes pods with the lowest cost first; the others have 0.
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost=-100"

# What docker and kubectl print about something that does not exist (any more).
GONE = ("No such container", "(NotFound)")


@dataclass(frozen=True, slots=True)
class Command:
    """One command; `may_be_gone` if its target may have ended already."""

    words: tuple[str, ...]
    may_be_gone: bool = False

    def __str__(self) -> str:
        return shlex.join(self.words)


class ScalerFailed(InferenceError):
    """`{0}` failed: {1}"""


class Scaler(Protocol):
    """Chooses the commands that bring about a number of workers."""

    def commands(self, wanted: DesiredWorkers) -> list[Command]:
        """The commands to run, in order."""


@dataclass(frozen=True, slots=True)
class ComposeScaler:
    """Stops the containers of workers to go, then calls `docker compose up --scale`."""

    services: Mapping[str, str]
    """Compose service by queue."""
    program: tuple[str, ...] = ("docker", "compose")
    options: tuple[str, ...] = ()
    """Like `-f FILE` or `-p PROJECT`."""

    def commands(self, wanted: DesiredWorkers) -> list[Command]:
        """The commands; a container is found by its host name, which by default is its id."""
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
    """Marks the pods of workers to go as cheapest to delete, then calls `kubectl scale`."""

    deployments: Mapping[str, str]
    """Deployment by queue."""
    namespace: str = "default"

    def commands(self, wanted: DesiredWorkers) -> list[Command]:
        """The commands; a pod is found by its host name, which is its name."""
        kubectl = ("kubectl", "--namespace", self.namespace)
        mark = (*kubectl, "annotate", "--overwrite", "pod")
        marks = [Command((*mark, pod, DELETION_COST), may_be_gone=True) for pod in hosts(wanted.stop)]
        deployment = f"deployment/{self.deployments[wanted.queue]}"
        return [*marks, Command((*kubectl, "scale", deployment, f"--replicas={wanted.n}"))]


def hosts(workers: Sequence[str]) -> list[str]:
    """The host names in worker names like `chrome@0123456789ab`."""
    return [host for _, _, host in (name.partition("@") for name in workers) if host]


def run_all(commands: Sequence[Command]) -> None:
    """Run the commands in order. Raises NotReady or ScalerFailed at the first that fails.

    A decision names workers to stop until they are silent, so a target that is already gone is no failure.
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
            raise ScalerFailed(str(command), output.splitlines()[-1] if output else "no output")


class Follower:
    """Carries out each new decision once; one that failed is tried again with the next."""

    def __init__(self, scaler: Scaler, queues: Sequence[str]) -> None:
        self._scaler, self._queues = scaler, queues
        self._done: dict[str, int] = {}

    def plan(self, desired: Mapping[str, DesiredWorkers]) -> list[tuple[DesiredWorkers, list[Command]]]:
        """The decisions to carry out now, with their commands; without those of a dry run."""
        fresh = (
            wanted
            for queue, wanted in sorted(desired.items())
            if queue in self._queues and not wanted.dry_run and self._done.get(queue) != wanted.n
        )
        return [(wanted, self._scaler.commands(wanted)) for wanted in fresh]

    def note_done(self, wanted: DesiredWorkers) -> None:
        """Remember that `wanted` was carried out."""
        self._done[wanted.queue] = wanted.n
