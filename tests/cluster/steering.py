"""Options that steer the runner in memory; only the tests' producers and workers know them."""

from __future__ import annotations

from typing import Any

from browser_runtime.contract.option import Kind, Option


class Steering(Option):
    """An option of the tests' own, of any value."""

    def check(self, value: Any) -> Any:
        """The value, whatever it is."""
        return value


NAMES = ("sleep_s", "fail", "fail_on", "exit", "large", "long", "speak", "until")
# The token after which a runner that generates waits, and one that is to die dies.
WAITS_BEHIND = 3
STEERING = {name: Steering(name, Kind.WORD, "for tests") for name in NAMES}


def word(number: int) -> str:
    """The text of a token: characters of several bytes among them."""
    return f"wörd-{number} "
