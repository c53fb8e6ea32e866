"""Decides what holds a browser and its driver: whose they are, which network they are in, the sandbox."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import Installation
from browser_runtime.launching.browser_user import BrowserUser
from browser_runtime.launching.network_namespace import Entry
from browser_runtime.launching.private_network import PrivateNetwork, run_entry

SANDBOX_HELPER = "chrome-sandbox"


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a browser is held by, and how its driver is started."""

    entry: Entry
    user: BrowserUser | None
    """None: the worker's own."""
    network: PrivateNetwork | None
    has_sandbox: bool
    """Whether the browser's own sandbox is on."""
    weaknesses: tuple[str, ...]
    """What does not hold it, each as a sentence."""

    @property
    def user_name(self) -> str:
        """Whose the browser is."""
        if self.user is not None:
            return self.user.name
        try:
            return pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:  # in a container, a number may be all there is
            return str(os.geteuid())

    def __str__(self) -> str:
        network = "a network of its own" if self.network else "the machine's network"
        return f"user {self.user_name}, {network}, sandbox {'on' if self.has_sandbox else 'off'}"


def confine(
    installation: Installation, driver: Path, user: BrowserUser | None, network: PrivateNetwork | None
) -> Confinement:
    """What holds the browser of `installation`. Blocks. Raises SetupError where it cannot be started so."""
    barred = user.cannot_reach(installation.binary, driver, Path(tempfile.gettempdir())) if user else ""
    entry = network.entry if network else Entry()
    if barred and entry.owner is not None:
        remedy = "move it, or set WEBINFER_PRIVATE_NETWORK=never"
        raise SetupError(f"a browser that its user can run ({barred})", remedy)
    held_by = None if barred else user
    entry = replace(entry, user=held_by.ids if held_by else None)
    has_sandbox = installation.browser is Browser.FIREFOX or _has_sandbox(installation.binary, entry)
    weaknesses = tuple(_weaknesses(entry, barred, has_sandbox=has_sandbox))
    return Confinement(entry, held_by, network, has_sandbox, weaknesses)


def _has_sandbox(binary: Path, entry: Entry) -> bool:
    """Return whether Chromium's sandbox starts; of ordinary users it is expected to, and they see if not."""
    if os.geteuid() != 0:
        return True
    if entry.user is None:
        return False
    helper = binary.resolve().parent / SANDBOX_HELPER
    if helper.is_file() and helper.stat().st_uid == 0 and helper.stat().st_mode & stat.S_ISUID:
        return True
    try:
        run_entry(entry, "sandbox")
    except OSError:
        return False
    return True


def _weaknesses(entry: Entry, barred: str, *, has_sandbox: bool) -> Iterator[str]:
    if entry.network is None:
        yield (
            "Its driver's port is on the machine's network: while it starts, any local user can have "
            "programs run as its user."
        )
    if os.geteuid() == 0 and entry.user is None:
        why = f": {barred}" if barred else ""
        yield f"It runs as root{why}."
    if not has_sandbox:
        yield "Its own sandbox is off."
