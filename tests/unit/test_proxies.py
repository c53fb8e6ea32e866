"""Loopback is exempt from proxies to every library that reads the environment; the world is not."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import httpx2
import pytest
from requests.utils import should_bypass_proxies

from browser_runtime.contract.setup.proxies import LOOPBACK, exempt_loopback
from browser_runtime.launching.processes import session_environment
from tests.conftest import DEAD_PROXY, PROXIED


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of who set proxies, and nothing else."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    for name, value in PROXIED.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("host", LOOPBACK)
def test_libraries_reach_loopback_directly_and_others_by_proxy(proxied: None, host: str) -> None:
    address = f"[{host}]" if ":" in host else host
    assert not should_bypass_proxies(f"http://{address}:8000/", None)
    exempt_loopback()
    assert should_bypass_proxies(f"http://{address}:8000/", None)
    assert urllib.request.proxy_bypass_environment(host)  # type: ignore[attr-defined]
    assert not should_bypass_proxies("http://example.org/", None)
    with httpx2.Client() as client:
        direct = client._transport
        assert client._transport_for_url(httpx2.URL(f"http://{address}:8000/")) is direct
        assert client._transport_for_url(httpx2.URL("http://example.org/")) is not direct


def test_exceptions_that_were_there_stay_and_nothing_is_set_without_a_proxy() -> None:
    environ = {"HTTPS_PROXY": DEAD_PROXY, "no_proxy": "a.example, localhost", "NO_PROXY": "b.example"}
    exempt_loopback(environ)
    assert environ["no_proxy"] == environ["NO_PROXY"] == "a.example,localhost,b.example,127.0.0.1,::1"
    everything = {"http_proxy": DEAD_PROXY, "no_proxy": "*"}
    exempt_loopback(everything)
    assert everything["no_proxy"] == "*"
    nothing = {"http_proxy": "", "PATH": "/bin"}
    exempt_loopback(nothing)
    assert nothing == {"http_proxy": "", "PATH": "/bin"}


def test_a_browser_gets_no_proxy_at_all(proxied: None, tmp_path: Path) -> None:
    assert not {name for name in session_environment(tmp_path) if name.lower().endswith("_proxy")}
