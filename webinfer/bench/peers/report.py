"""The tables of the peers, and the guide's claims beside what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from webinfer.bench.peers.measuring import ONE_MODEL, THREE_MODELS, Figures, PeersFound
from webinfer.bench.peers.peer import IN_PROCESS, THROUGH_QUEUE
from webinfer.tables import plain_text


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of the guide's table of performance, and what it is here."""

    scenario: str
    claimed: str
    found: str

    def to_plain(self) -> dict[str, Any]:
        """Plain values."""
        return {"scenario": self.scenario, "claimed": self.claimed, "found": self.found}


def claims(found: PeersFound) -> list[Claim]:
    """The guide's rows; "previous implementation" is one browser driven by hand through Selenium."""
    return [
        Claim("single model", "1.2x", _against_hand(found, ONE_MODEL, (1,))),
        Claim("several models, in sequence", "1.5x", _against_hand(found, THREE_MODELS, (1,))),
        Claim("several models, concurrent", "3.5x", _against_hand(found, THREE_MODELS, (16,))),
        Claim("memory", "0.7x", _memory(found)),
    ]


def _against_hand(found: PeersFound, workload: str, at_once: tuple[int, ...]) -> str:
    hand = found.by_hand.get(workload)
    if hand is None:
        return "no figure: Selenium by hand was not measured"
    parts = []
    for name, short in ((IN_PROCESS, "in the program's process"), (THROUGH_QUEUE, "through the queue")):
        for n in at_once:
            if one := found.find(name, workload, n):
                ratio = one.times_as_quick(hand)
                parts.append(f"{ratio.ratio:.1f}x {short} ({ratio.low:.1f} to {ratio.high:.1f})")
    return "; ".join(parts)


def _memory(found: PeersFound) -> str:
    hand = found.by_hand.get(THREE_MODELS)
    if hand is None:
        return "no figure: Selenium by hand was not measured"
    parts = []
    for name, short in ((IN_PROCESS, "in the program's process"), (THROUGH_QUEUE, "with queue and worker")):
        if one := found.find(name, THREE_MODELS, 1):
            parts.append(f"{one.memory_mb / hand.memory_mb:.2f}x {short}")
    return "; ".join(parts)


def tabulate(found: PeersFound) -> Iterator[Table]:
    """A table for each workload, the absent peers, the guide's claims."""
    for workload, hand in ((name, found.by_hand.get(name)) for name in (ONE_MODEL, THREE_MODELS)):
        table = Table(
            *("way", "at once", "requests/s", "to by hand", "95 %", "p50 ms", "p95 ms", "memory MB", "lines"),
            title=workload,
        )
        for one in found.figures:
            if one.workload == workload:
                table.add_row(*_row(one, hand))
        for name, reason in found.absent.items():
            table.add_row(name, "-", "absent", *[""] * 5, plain_text(reason))
        yield table
    table = Table("the guide's table", "claimed", "found here")
    for claim in claims(found):
        table.add_row(claim.scenario, claim.claimed, claim.found)
    yield table


def _row(one: Figures, hand: Figures | None) -> tuple[str, ...]:
    ratio = None if hand is None or hand is one else one.times_as_quick(hand)
    compared = ("", "") if ratio is None else (f"{ratio.ratio:.2f}x", f"{ratio.low:.2f} to {ratio.high:.2f}")
    return (
        one.peer.name,
        str(one.at_once),
        f"{one.per_s:.1f}",
        *compared,
        f"{one.percentile_ms(0.5):.1f}",
        f"{one.percentile_ms(0.95):.1f}",
        f"{one.memory_mb:.0f}",
        str(one.peer.n_lines),
    )
