"""Loopback goes through no proxy: what listens there is ours, and no proxy can reach it.

`http_proxy` and its kin are for what is fetched from elsewhere: models, drivers. Who sets them need not know
that webinfer talks to itself.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "ws_proxy", "wss_proxy")
EXCEPTIONS = "no_proxy"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def exempt_loopback(environ: MutableMapping[str, str] | None = None) -> None:
    """Exempt loopback from the proxies of this process and its children, where there are any."""
    environ = os.environ if environ is None else environ
    if not any(environ.get(name) or environ.get(name.upper()) for name in PROXIES):
        return
    listed = f"{environ.get(EXCEPTIONS, '')},{environ.get(EXCEPTIONS.upper(), '')}"
    named = [part.strip() for part in listed.split(",") if part.strip()]
    if "*" in named:  # which only counts where it stands alone
        return
    for name in (EXCEPTIONS, EXCEPTIONS.upper()):  # programs differ in which they read
        environ[name] = ",".join(dict.fromkeys((*named, *LOOPBACK)))
