"""Flower never listens beyond this machine without credentials."""

from __future__ import annotations

import pytest

from scheduler.monitor.access import find_exposure


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
