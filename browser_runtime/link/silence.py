"""How long a call that gives tokens as it goes may say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from browser_runtime.contract.pieces import TokenListener


@dataclass(frozen=True, slots=True)
class Silence:
    """How long a call that tells what it generates may say nothing."""

    first_s: float
    """Before the first tokens."""
    between_s: float
    """From then on."""


def resetting(quiet: asyncio.Timeout, silence: Silence, on_tokens: TokenListener) -> TokenListener:
    """The listener, each of whose calls gives the page its time anew."""
    loop = asyncio.get_running_loop()

    def listen(item: int, tokens: Sequence[int], made_ms: float) -> bool:
        if not quiet.expired():
            quiet.reschedule(loop.time() + silence.between_s)
        return on_tokens(item, tokens, made_ms)

    return listen
