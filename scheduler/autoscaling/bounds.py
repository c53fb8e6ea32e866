"""Least and most workers of each queue, from the setting WEBINFER_AUTOSCALE_QUEUES. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from browser_runtime.contract.errors import BadInput
from tasks.routing.router import BROWSER_OF

FORM = "like chrome-vision=1:4,edge-text=0:2, of the queues " + ", ".join(BROWSER_OF)
MOST = 1000


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most workers of a queue."""

    least: int
    most: int


def parse_bounds(text: str, usual: Bounds) -> dict[str, Bounds]:
    """Bounds by queue; `usual` for a queue named without numbers. Raises BadInput."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([a-z-]+)(?:=(\d{1,4}):(\d{1,4}))?", part)
        if match is None or match[1] not in BROWSER_OF:
            raise BadInput("WEBINFER_AUTOSCALE_QUEUES", repr(part), FORM)
        bounds = Bounds(int(match[2]), int(match[3])) if match[2] else usual
        if not bounds.least <= bounds.most <= MOST or bounds.most < 1:
            raise BadInput("WEBINFER_AUTOSCALE_QUEUES", repr(part), f"fewest:most, with 1 <= most <= {MOST}")
        found[match[1]] = bounds
    return found
