"""Receivers of notifications, one per Apprise URL. The only module that imports apprise."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from typing import Any

from celery.utils.log import get_logger

from browser_runtime.contract.errors import BadSetting
from browser_runtime.contract.setup.log_lines import one_line

log = get_logger(__name__)

# Shorter parts of a URL are words and ports, not secrets.
SECRET_CHARACTERS = 4

NEWS_TYPES = {"opened": "failure", "worse": "failure", "closed": "success", "test": "info"}


@dataclass(frozen=True, slots=True)
class Receipt:
    """The outcome of a delivery, with the reason for a refusal."""

    taken: bool
    why: str = ""


class Target:
    """One receiver. Name and id reveal only the scheme of its URL, since any part may be a token."""

    def __init__(self, url: str, position: int) -> None:
        self._url = url
        self._service: Any = _load_apprise().Apprise.instantiate(url)
        self._sender: Any = _load_apprise().Apprise()
        """Turns our plain text into what the service wants: in a mail's HTML, a name is no markup."""
        scheme = url.partition("://")[0]
        self.name = f"{scheme} #{position}"
        self.id = hashlib.sha256(url.encode()).hexdigest()[:12]
        if self._service is None:
            given = f"{scheme}://... in place {position}"
            allowed = "made of URLs that Apprise can use: see https://appriseit.com/services"
            raise BadSetting("WEBINFER_ALERT_URLS", given, allowed)
        self._sender.add(self._service)

    def __repr__(self) -> str:
        return f"Target({self.name})"

    def send(self, title: str, body: str, news: str) -> Receipt:
        """Deliver once. Never raises: a failure is in the receipt."""
        apprise = _load_apprise()
        with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as captured:
            try:
                taken = bool(
                    self._sender.notify(
                        body=body,
                        title=one_line(title),
                        notify_type=NEWS_TYPES[news],
                        body_format=apprise.NotifyFormat.TEXT,
                    )
                )
            except Exception as error:  # plugins raise whatever their libraries raise
                return Receipt(False, redact(f"{type(error).__name__}: {error}", self._url))
            return Receipt(
                taken, "" if taken else redact(captured.getvalue().strip(), self._url) or "refused"
            )


def parse_targets(urls: str) -> list[Target]:
    """The targets of comma-separated `urls`. Raises BadSetting for one that Apprise cannot use."""
    return [Target(url, position) for position, url in enumerate(_split(urls), 1)]


def usable_targets(urls: str) -> list[Target]:
    """The targets of `urls` that Apprise can use; the others are logged, and do not affect these."""
    found = []
    for position, url in enumerate(_split(urls), 1):
        try:
            found.append(Target(url, position))
        except BadSetting as error:
            log.error("alert receiver unusable: %s", error)
    return found


def _split(urls: str) -> list[str]:
    """The URLs of a list. Only a comma before a scheme separates them; a URL may contain commas."""
    parts = re.split(r"[,\s]+(?=[\w+.-]+://)", urls.strip().rstrip(","))
    return [part.strip() for part in parts if part.strip()]


def redact(text: str, url: str) -> str:
    """`text` without any part of `url` that could be a secret."""
    _, _, rest = url.partition("://")
    parts = {part for part in re.split(r"[/:@?&=,#\s]+", rest) if len(part) >= SECRET_CHARACTERS}
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def _load_apprise() -> Any:
    """The library, imported on first use (a second), its own logs off, since they may hold tokens."""
    import apprise

    # LogCapture reads what matters, and it is logged without secrets.
    logging.getLogger("apprise").propagate = False
    logging.getLogger("urllib3").setLevel(logging.INFO)
    return apprise
