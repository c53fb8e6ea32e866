"""The URL of a Redis: what Celery and redis-py both take, and how redis-py writes it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, quote, urlencode, urlsplit

from browser_runtime.contract.setup.environment import BadValue, check_url

SCHEMES = ("redis", "rediss", "redis+socket")
# Celery asks for a word about certificates; redis-py spells it without CERT_.
CERT_REQS = ("required", "optional", "none")
OPTIONS = {
    "redis": (),
    "rediss": ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"),
    "redis+socket": ("virtual_host",),
}


def socket_url(path: Path) -> str:
    """The URL of a Redis that listens on a unix socket."""
    return f"redis+socket://{quote(str(path))}"


def check_redis_url(url: str) -> str:
    """`url` as it is. Raises BadValue where Celery or redis-py would fail later, or take something else."""
    if ";" in url:
        raise BadValue("the URL of one Redis")
    check_url(url, SCHEMES, needs_host=False)
    parts = urlsplit(url)
    options = parse_qs(parts.query, keep_blank_values=True)
    for name in options:
        if name not in OPTIONS[parts.scheme]:
            allowed = ", ".join(OPTIONS[parts.scheme]) or "no options at all"
            raise BadValue(f"a {parts.scheme}:// URL without the option {name}: it takes {allowed}")
    if parts.scheme == "rediss" and _cert_reqs(options) not in CERT_REQS:
        raise BadValue("a rediss:// URL that ends with ?ssl_cert_reqs=required, or =optional or =none")
    if parts.scheme == "redis+socket" and not parts.path.strip("/"):
        raise BadValue("a redis+socket:// URL with the path of a socket: redis+socket:///run/redis.sock")
    if not re.fullmatch(r"\d{0,9}", _database(parts)):
        raise BadValue("the URL of a Redis whose database is a number, like redis://localhost:6379/0")
    return url


def _cert_reqs(options: dict[str, list[str]]) -> str:
    return options.get("ssl_cert_reqs", [""])[0].lower().removeprefix("cert_")


def _database(parts: SplitResult) -> str:
    if parts.scheme == "redis+socket":
        return parse_qs(parts.query).get("virtual_host", [""])[0].strip("/")
    return parts.path.removeprefix("/")


def redis_py_url(url: str) -> str:
    """The same Redis as redis-py names it, which differs for unix sockets and for certificates."""
    parts = urlsplit(url)
    if parts.scheme == "rediss":
        options = parse_qs(parts.query)
        query = {name: values[0] for name, values in options.items()} | {"ssl_cert_reqs": _cert_reqs(options)}
        return parts._replace(query=urlencode(query)).geturl()
    if parts.scheme != "redis+socket":
        return url
    userinfo, _, _ = parts.netloc.rpartition("@")
    return f"unix://{userinfo + '@' if userinfo else ''}{parts.path}?db={_database(parts) or 0}"
