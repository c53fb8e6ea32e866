"""Decides where Flower may listen and whom it answers. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


def find_exposure(address: str, unix_socket: str, basic_auth: Sequence[str], auth: str) -> str | None:
    """Returns the reason not to listen like this, with the remedy; None where there is none.

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


def find_intrusion(host: str, origin: str | None) -> str | None:
    """Returns the reason to refuse a request without credentials; None where it is answered.

    A page of another site reaches this machine's ports too, by a name that its owner points to 127.0.0.1 (DNS
    rebinding) or by sending a form. Its `Host` or its `Origin` gives it away.
    """
    if not is_loopback(_hostname(f"//{host}")):
        return (
            f"refusing to answer as {host!r}: without credentials the monitor answers to {LOOPBACK} and "
            "localhost only; set FLOWER_BASIC_AUTH=user:password to use another name"
        )
    if origin is not None and urlsplit(origin).netloc != host:
        return f"refusing a request from a page of {origin!r}"
    return None


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def is_loopback(address: str) -> bool:
    """True where only this machine can connect to `address`; of names, for localhost alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
