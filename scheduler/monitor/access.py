"""Whether Flower may listen where it was told to. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

LOOPBACK = "127.0.0.1"


def find_exposure(address: str, unix_socket: str, basic_auth: Sequence[str], auth: str) -> str | None:
    """Why it must not listen like this, in one sentence that names the remedy; None when it may.

    `auth` is Flower's pattern of accounts that may log in; an empty `address` is every interface.
    """
    for place, pair in enumerate(basic_auth, 1):
        user, _, password = pair.partition(":")
        if not user or not password:
            return f"basic_auth number {place} must be user:password, neither of them empty"
    if unix_socket or is_loopback(address) or basic_auth or auth:
        return None
    return (
        f"refusing to listen on {address or 'every interface'} without credentials: set "
        f"FLOWER_BASIC_AUTH=user:password (or --auth with a login provider), or listen on {LOOPBACK}"
    )


def is_loopback(address: str) -> bool:
    """Whether only this machine can connect to `address`. Of names only localhost is."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
