"""Arguments and preferences that a setting adds: what is taken, what is refused, what the build tells."""

from __future__ import annotations

import pytest

from browser_runtime.contract.errors import BadSetting
from browser_runtime.contract.setup.additions import merge_arguments, parse_arguments, parse_preferences
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.launching.binaries import Installation
from browser_runtime.launching.drivers import CHROMIUM_ARGUMENTS
from browser_runtime.settings import RuntimeSettings


def test_arguments_are_split_as_a_shell_does() -> None:
    assert parse_arguments("--js-flags='--a --b' --x") == ("--js-flags=--a --b", "--x")


def test_preferences_have_their_types() -> None:
    found = parse_preferences("a.b=true c=-3 d=text e=1.5")
    assert found == {"a.b": True, "c": -3, "d": "text", "e": "1.5"}


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("chromium_arguments", "no-dashes", "begin with --"),
        ("chromium_arguments", "--no-sandbox", "webinfer sets itself"),
        ("chromium_arguments", "--remote-debugging-port=9", "webinfer sets itself"),
        ("chromium_arguments", "'--x", "a shell could split"),
        ("firefox_preferences", "dom.webgpu.enabled", "NAME=VALUE"),
    ],
)
def test_what_cannot_be_is_refused_by_name(field: str, value: str, why: str) -> None:
    with pytest.raises(BadSetting, match=why) as refused:
        RuntimeSettings(**{field: value})
    assert field in str(refused.value)


def test_added_features_are_joined_with_ours() -> None:
    """Chromium obeys only the last `--enable-features`: WebNN would be off."""
    merged = merge_arguments(CHROMIUM_ARGUMENTS, ["--enable-features=Other", "--x"])
    assert [each for each in merged if each.startswith("--enable-features")] == [
        "--enable-features=WebMachineLearningNeuralNetwork,Other"
    ]
    assert "--x" in merged


def test_a_build_tells_what_was_added(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("bin") / "x"
    plain = Installation(Browser.CHROME, place, "156.0", None)
    added = Installation(Browser.CHROME, place, "156.0", None, arguments=("--js-flags=--a",))
    firefox = Installation(Browser.FIREFOX, place, "153.0", None, preferences=(("x.y", True),))
    assert plain.build == "Chromium 156.0"
    assert added.build == "Chromium 156.0, with --js-flags=--a"
    assert firefox.build == "Firefox 153.0, with x.y=true"
