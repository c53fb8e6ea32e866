"""Arms from words: what they change, and what is refused by name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from browser_runtime.contract.errors import BadInput, BadSetting
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from browser_runtime.models.store import ModelStore
from webinfer.bench.laboratory.answers import make_request
from webinfer.bench.laboratory.arms import Arm, parse_arm


def test_an_arm_may_differ_in_anything() -> None:
    words = (
        f"model=other browser=edge backend=cpu precision=int8 threads=2 binary={sys.executable}"
        " flag=--js-flags='--a --b' flag=--x option.compute_shaders=true WEBINFER_RUN_TIMEOUT_S=7"
    )
    arm = parse_arm(words, "digits-vit")
    settings = arm.runtime_settings()
    assert (arm.model, arm.browser, arm.backend, arm.precision) == (
        "other",
        Browser.EDGE,
        Backend.WASM,
        Precision.INT8,
    )
    assert arm.options == {"compute_shaders": True}
    assert settings.simulation == "never" and settings.wasm_threads == 2 and settings.run_timeout_s == 7
    assert str(settings.edge_binary) == sys.executable
    assert settings.chromium_arguments == "'--js-flags=--a --b' --x"


def test_what_is_not_named_is_the_command_s() -> None:
    arm = parse_arm("", "digits-vit")
    assert (arm.model, arm.browser, arm.backend) == ("digits-vit", Browser.CHROME, None)
    assert arm.runtime_settings().shared_results_mb == 0, "equal inputs would not be computed again"
    assert parse_arm("WEBINFER_SHARED_RESULTS_MB=8", "m").runtime_settings().shared_results_mb == 8
    assert arm.precision_for(Family.VISION) is Precision.FP32
    assert arm.precision_for(Family.TEXT_GENERATION) is Precision.BITS_4


def test_flags_come_after_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBINFER_CHROMIUM_ARGUMENTS", "--everywhere")
    assert parse_arm("flag=--x", "m").runtime_settings().chromium_arguments == "--everywhere --x"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("colour=red", "unknown word 'colour'"),
        ("brwser=edge", "did you mean 'browser'"),
        ("browser", "NAME=VALUE"),
        ("browser=opera", "--a: browser is 'opera'"),
        ("backend=gpu", "--a: backend is 'gpu'"),
        ("browser=edge browser=edge", "twice"),
        ("browser=firefox flag=--x", "pref="),
        ("pref=a=b", "flag="),
        ("binary=/no/such/program", "a program that is there"),
        ("option.colour=1", "option.colour"),
        ("WEBINFER_BROKER_URL=redis://x", "a setting of browsers"),
        ("WEBINFER_SIMULATION=always", "nothing is simulated here"),
        ("flag='--x", "a shell could split"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(words: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        parse_arm(words, "digits-vit", "--a")


@pytest.mark.parametrize("words", ["threads=many", "flag=--no-sandbox", "WEBINFER_RUN_TIMEOUT_S=-1"])
def test_values_of_settings_are_checked_like_those_of_the_environment(words: str) -> None:
    with pytest.raises(BadSetting):
        parse_arm(words, "digits-vit").runtime_settings()


def test_generated_text_is_the_likeliest_unless_an_arm_draws(tmp_path: Path) -> None:
    """A model may draw by its own settings: two runs of it would differ, and be told as wrong."""
    store = ModelStore(tmp_path)
    llama, vit = store.find("numbers-llama"), store.find("digits-vit")
    assert llama
    assert vit
    drawing = parse_arm("option.temperature=0.7 option.seed=9", llama.name)
    asked = [
        make_request(model, arm).options for model, arm in ((llama, Arm("", llama.name)), (llama, drawing))
    ]
    assert asked == [{"temperature": 0.0, "seed": 1}, {"temperature": 0.7, "seed": 9}]
    assert make_request(vit, Arm("", vit.name)).options == {}
