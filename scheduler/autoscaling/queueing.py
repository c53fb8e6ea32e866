"""The Erlang C formula: the number of servers that keeps waiting short. Pure.

Source: Erlang (1917); Gross and Harris, "Fundamentals of Queueing Theory", chapter 2.3 (M/M/c).
"""

from __future__ import annotations

import math

# Beyond this many servers the answer is the load plus a few per cent.
MOST_SERVERS = 1000


def waiting_share(n_servers: int, load: float) -> float:
    """The share of arrivals that must wait at all; 1 if the servers cannot keep up.

    `load`: servers busy on average (arrivals a second x seconds of service).
    """
    if load <= 0:
        return 0.0
    if load >= n_servers:
        return 1.0
    blocked = 1.0  # Erlang B, by its recursion: no factorials, no overflow
    for n in range(1, n_servers + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked / (1 - (load / n_servers) * (1 - blocked))


def late_share(n_servers: int, load: float, service_s: float, wait_s: float) -> float:
    """The share of arrivals that wait longer than `wait_s`."""
    spare = n_servers - load
    if spare <= 0:
        return 1.0
    return waiting_share(n_servers, load) * math.exp(-spare * wait_s / service_s)


def count_servers(load: float, service_s: float, wait_s: float, late: float) -> int:
    """The fewest servers with which at most the share `late` of arrivals waits longer than `wait_s`."""
    if load <= 0:
        return 0
    n = math.floor(load) + 1
    while n < MOST_SERVERS and late_share(n, load, service_s, wait_s) > late:
        n += 1
    return n
