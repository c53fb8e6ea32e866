"""Flower never listens beyond this machine without credentials."""

from __future__ import annotations

import pytest

from scheduler.monitor.access import find_exposure, find_intrusion


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_this_machine_alone_needs_no_credentials(address: str) -> None:
    assert find_exposure(address, "", (), "") is None


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::", "10.0.0.7", "2001:db8::1", "localhost.example"])
def test_beyond_it_credentials_are_needed(address: str) -> None:
    assert "FLOWER_BASIC_AUTH" in str(find_exposure(address, "", (), ""))
    assert find_exposure(address, "", ("user:secret",), "") is None
    assert find_exposure(address, "", (), ".*@example.com") is None


@pytest.mark.parametrize("pair", ["", ":", "user", "user:", ":secret"])
def test_a_credential_that_anybody_could_guess_is_none(pair: str) -> None:
    told = find_exposure("0.0.0.0", "", ("user:secret", pair), "")
    assert told == "basic_auth number 2 must be user:password, neither of them empty"


def test_a_unix_socket_is_no_network() -> None:
    assert find_exposure("", "/run/flower.sock", (), "") is None


@pytest.mark.parametrize("host", ["127.0.0.1:5555", "localhost:5555", "LOCALHOST", "[::1]:5555", "127.0.0.1"])
def test_this_machines_own_names_are_answered(host: str) -> None:
    assert find_intrusion(host, None) is None
    assert find_intrusion(host, f"http://{host}") is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:5555",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "[",
        "::1]",
    ],
)
def test_a_name_that_somebody_points_here_is_refused(host: str) -> None:
    refusal = str(find_intrusion(host, None))
    assert repr(host) in refusal and "FLOWER_BASIC_AUTH" in refusal


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://localhost:5556", "http://127.0.0.1"]
)
def test_a_page_of_another_site_is_refused(origin: str) -> None:
    assert repr(origin) in str(find_intrusion("localhost:5555", origin))
