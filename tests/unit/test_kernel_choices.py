"""The quickest kernels are measured once for an adapter and a build, and what was measured decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browser_runtime.contract.answers import LoadAnswer
from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.vocabulary import Backend, Browser, Family
from browser_runtime.session.kernel_choices import KernelChoices
from browser_runtime.session.plan import plan_backends


def capable(*, software: bool = True, name: str = "adapter") -> Capabilities:
    gpu = {"supported": True, "proved": True, "adapter": {"name": name, "software": software}}
    return Capabilities.from_probe({"webgpu": gpu, "wasm": {"supported": True, "proved": True}})  # type: ignore[typeddict-item]


def measured(kernels: str, decode_ms: float) -> dict[str, Any]:
    return {"kernels": kernels, "measured": [{"kernels": kernels, "decode_ms": decode_ms, "prefill_ms": 8.0}]}


def open_choices(folder: Path, build: str = "Chromium 156", **adapter: Any) -> KernelChoices:
    choices = KernelChoices(folder, build, "chrome")
    choices.capabilities = capable(**adapter)
    return choices


def test_what_one_session_measured_another_finds(tmp_path: Path) -> None:
    first = open_choices(tmp_path / "cache")
    assert first.find(Backend.WASM) is None
    details = {"measured": measured("relaxed", 0.3)["measured"], "measured_before": False}
    first.keep(Backend.WASM, {"kernel": "relaxed", "details": details})
    assert open_choices(tmp_path / "cache").find(Backend.WASM) == measured("relaxed", 0.3)
    assert open_choices(tmp_path / "cache", build="Chromium 157").find(Backend.WASM) is None
    assert open_choices(tmp_path / "cache").find(Backend.WEBGPU) is None
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["kernels.json"]


def test_another_adapter_is_measured_anew(tmp_path: Path) -> None:
    open_choices(tmp_path, name="one").keep_choice(Backend.WEBGPU, measured("rows packed", 3))
    assert open_choices(tmp_path, name="one").find(Backend.WEBGPU) is not None
    assert open_choices(tmp_path, name="another").find(Backend.WEBGPU) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"a": 1}'])
def test_a_file_that_is_none_is_nothing_kept(tmp_path: Path, content: str) -> None:
    (tmp_path / "kernels.json").write_text(content)
    choices = open_choices(tmp_path)
    assert choices.find(Backend.WASM) is None
    choices.keep_choice(Backend.WASM, measured("relaxed", 0.3))
    assert choices.find(Backend.WASM) is not None


def test_what_was_kept_before_is_not_kept_again(tmp_path: Path) -> None:
    details = {"measured": measured("relaxed", 0.3)["measured"], "measured_before": True}
    open_choices(tmp_path).keep(Backend.WASM, {"kernel": "relaxed", "details": details})
    assert not (tmp_path / "kernels.json").exists()


def test_both_backends_are_measured_only_where_the_gpu_is_hardware(tmp_path: Path) -> None:
    assert open_choices(tmp_path, software=True).unmeasured() == ()
    hardware = open_choices(tmp_path, software=False)
    assert hardware.unmeasured() == (Backend.WEBGPU, Backend.WASM)
    hardware.keep_choice(Backend.WEBGPU, measured("rows packed", 3))
    assert hardware.unmeasured() == (Backend.WASM,)


def test_the_quickest_backend_comes_first_without_a_wish(tmp_path: Path) -> None:
    choices = open_choices(tmp_path, software=False)
    choices.keep_choice(Backend.WEBGPU, measured("rows packed", 3))
    can, family = choices.capabilities, Family.TEXT_GENERATION
    plan = plan_backends((), Browser.CHROME, family, can, measured_ms=choices.times_ms())
    assert plan.backends[0] is Backend.WEBGPU, "one measurement compares nothing"
    choices.keep_choice(Backend.WASM, measured("relaxed", 0.5))
    plan = plan_backends((), Browser.CHROME, family, can, measured_ms=choices.times_ms())
    assert plan.backends == (Backend.WASM, Backend.WEBGPU)
    assert plan.reason == "quickest kernels: wasm 1.50 ms, webgpu 4.00 ms"
    asked = plan_backends((Backend.WEBGPU,), Browser.CHROME, family, can, measured_ms=choices.times_ms())
    assert asked.backends == (Backend.WEBGPU,)
    assert asked.reason == "the request's priority_list"


def test_times_of_front_ends_are_kept_by_plan_and_adapter(tmp_path: Path) -> None:
    rows = [
        {"kernels": "log_mel webgpu", "short_ms": 3.0, "long_ms": 20.0},
        {"kernels": "transformers.js", "short_ms": 9.0, "long_ms": 300.0},
    ]

    def answer(plan: str, measured: object, *, before: bool = False) -> LoadAnswer:
        timed = {"plan": plan, "measured": measured, "measured_before": before}
        return {"details": {"front_ends": timed}}

    choices = open_choices(tmp_path)
    choices.keep(Backend.WEBGPU, answer("400 160 80 480000", rows))
    choices.keep(Backend.WEBGPU, answer("1024 480 64 480000", rows))
    choices.keep(Backend.WEBGPU, answer("400 160 80 480000", rows[:1], before=True))
    choices.keep(Backend.WEBGPU, answer("8 4 1 16", [{"kernels": "log_mel webgpu", "short_ms": "3"}]))
    assert open_choices(tmp_path).find_front_ends() == {
        "400 160 80 480000": rows,
        "1024 480 64 480000": rows,
    }
    assert open_choices(tmp_path, name="another").find_front_ends() == {}
    assert open_choices(tmp_path).find(Backend.WEBGPU) is None
