"""The table of acceleration: rows are complete, flags are obeyed or told, the guide's points are earned."""

from __future__ import annotations

import pytest

from browser_runtime.contract.acceleration import (
    ACCELERATIONS,
    FLAGS,
    RanAccelerations,
    earned_points,
    plan_loading,
)
from browser_runtime.contract.families import FAMILIES
from browser_runtime.contract.options import COMMON_OPTIONS, LOAD_FLAGS
from browser_runtime.contract.vocabulary import Backend, Browser, Family


def test_each_row_tells_what_it_does_and_what_it_was_measured_at() -> None:
    for row in ACCELERATIONS.values():
        assert row.summary and row.measurement.finding
        assert row.measurement.command.startswith("webinfer bench ")
        assert set(row.rows) <= set(FAMILIES)


def test_each_switch_of_a_request_is_one_of_its_options_or_arguments() -> None:
    switches = {row.option for row in ACCELERATIONS.values()} - {""}
    assert switches <= {*COMMON_OPTIONS, "priority_list"}
    assert set(FLAGS) == {"compute_shaders", "precompile_shaders", "parallel_loading", "tensor_sharing"}


def test_flags_that_change_only_the_loading_or_a_run_open_no_second_copy() -> None:
    assert set(LOAD_FLAGS) == {"tensor_sharing", "dynamic_shapes", "layout", "kv_cache"}


@pytest.mark.parametrize(
    ("family", "browser", "backend", "flags", "points"),
    [
        (Family.AUDIO, Browser.FIREFOX, Backend.WEBGPU, {"compute_shaders"}, 40),
        (Family.AUDIO, Browser.FIREFOX, Backend.WASM, {"compute_shaders"}, 0),
        (Family.AUDIO, Browser.CHROME, Backend.WEBGPU, {"compute_shaders"}, 0),
        (Family.AUDIO, Browser.FIREFOX, Backend.WEBGPU, set(), 0),
        (Family.VISION, Browser.EDGE, Backend.WEBGPU, {"precompile_shaders"}, 25),
        (Family.TEXT_EMBEDDING, Browser.EDGE, Backend.WEBNN, set(), 35),
        (Family.MULTIMODAL, Browser.CHROME, Backend.WASM, {"parallel_loading"}, 30),
        (Family.MULTIMODAL, Browser.CHROME, None, {"parallel_loading"}, 0),
    ],
)
def test_the_guides_points_are_for_lanes_that_would_use_a_row(
    family: Family, browser: Browser, backend: Backend | None, flags: set[str], points: float
) -> None:
    assert sum(points for _, points in earned_points(family, browser, backend, flags)) == points


def test_a_page_is_told_what_is_on() -> None:
    usual = {"compute_shaders": False, "precompile_shaders": True, "parallel_loading": False}
    assert plan_loading({}, is_software=False) == plan_loading({}, is_software=None) == usual
    asked = {"compute_shaders": True, "precompile_shaders": False, "parallel_loading": True}
    assert plan_loading(asked, is_software=False) == asked


def test_shaders_are_compiled_ahead_on_a_software_adapter_only_where_somebody_asks() -> None:
    assert plan_loading({}, is_software=True)["precompile_shaders"] is False
    assert plan_loading({"precompile_shaders": True}, is_software=True)["precompile_shaders"] is True


def test_what_was_asked_for_and_not_done_is_told_with_its_reason() -> None:
    ran = RanAccelerations(("tensor_sharing", "precompile_shaders"), {}, Backend.WEBGPU)
    assert ran.explain({"precompile_shaders": True, "tensor_sharing": True, "top_k": 3}, ["vision"]) == []
    assert ran.explain({}, ["vision"]) == []
    (told,) = ran.explain({"precompile_shaders": False}, ["vision"])
    assert told.startswith(
        "precompile_shaders=False was asked for and not done: the model was opened with it"
    )
    (told,) = ran.explain({"compute_shaders": True}, ["vision"])
    assert told == "compute_shaders was asked for and not done: only audio and clap models have it"
    (told,) = ran.explain({"parallel_loading": True}, ["clip"])
    assert "the model was opened without it" in told
    on_cpu = RanAccelerations((), {}, Backend.WASM)
    (told,) = on_cpu.explain({"precompile_shaders": True}, ["vision"])
    assert told.endswith("not done: it needs webgpu, and this ran on wasm")
    with_reason = RanAccelerations((), {"compute_shaders": "its graph takes float16"}, Backend.WEBGPU)
    (told,) = with_reason.explain({"compute_shaders": True}, ["audio"])
    assert told == "compute_shaders was asked for and not done: its graph takes float16"
