"""The document of the peers, and the guide's claims beside what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from browser_runtime.contract.errors import BadInput
from webinfer.bench.laboratory.documents import Document, make_document, reading
from webinfer.bench.laboratory.machine import difference, this_machine
from webinfer.bench.peers.measuring import MODELS, ONE_MODEL, THREE_MODELS, PeersFound
from webinfer.bench.peers.peer import IN_PROCESS, THROUGH_QUEUE


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


def tabulate_claims(found: PeersFound) -> Table:
    """The guide's table beside what was found."""
    table = Table("the guide's table", "claimed", "found here")
    for claim in claims(found):
        table.add_row(claim.scenario, claim.claimed, claim.found)
    return table


def make_peers_document(found: PeersFound) -> Document:
    """The document of all rounds so far."""
    told = [claim.to_plain() for claim in claims(found)]
    body = found.to_plain() | {"models": list(MODELS), "n_rounds": found.n_rounds, "guide": told}
    verdict = "; ".join(f"{one['scenario']}: {one['found']} (the guide: {one['claimed']})" for one in told)
    return make_document("peers", verdict, body)


def read_peers(document: Document | None) -> PeersFound | None:
    """What a document holds. Raises BadInput for one of another machine."""
    if document is None:
        return None
    with reading("--json"):
        told = difference(document["machine"], this_machine().to_plain())
        found = PeersFound.from_plain(document)
    if told:
        raise BadInput("--json", f"a file that cannot be gone on with ({told})", "another file")
    return found
