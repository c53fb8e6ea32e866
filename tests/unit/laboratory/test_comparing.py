"""A comparison in words, its end, and its document."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from browser_runtime.contract.errors import BadInput
from tests.unit.laboratory.made_up import comparison, start
from webinfer.bench.laboratory import comparing, verdicts
from webinfer.bench.laboratory.answers import Answer
from webinfer.bench.laboratory.arms import Arm, parse_arm
from webinfer.bench.laboratory.comparing import Limits, compare
from webinfer.bench.laboratory.documents import check_document, comparison_document, write_document
from webinfer.bench.laboratory.sessions import ArmFailed, Start


def test_a_difference_is_told_with_its_interval_and_its_step() -> None:
    told = verdicts.sentence(comparison(1.1))
    found = re.fullmatch(
        r"b is (\d+\.\d) % slower \((\d+\.\d) \.\. (\d+\.\d) %, 95 %\), all of it in compute", told
    )
    assert found, told
    middle, low, high = map(float, found.groups())
    assert low < middle < high and low < 100 * 1 / 11 < high
    assert verdicts.sentence(comparison(0.9)).startswith("b is ") and "faster" in verdicts.sentence(
        comparison(0.9)
    )


def test_no_difference_is_told_with_what_could_have_been_missed() -> None:
    assert re.fullmatch(r"no difference above [01]\.\d %", verdicts.sentence(comparison(1.0)))


def test_blocks_that_disagree_are_told_as_such() -> None:
    assert verdicts.sentence(comparison(1.0, n=2, noise=1.0)).startswith("not known")
    assert verdicts.sentence(comparison(1.0, n=1)).startswith("not known: 1 block differ")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Answer("7", (), {"7": 0.9}), ""),
        (Answer("9", (), {"9": 0.9}), "'9' instead of '7'"),
        (Answer("7", (), {"7": 0.8}), "a score differs by 0.100"),
    ],
)
def test_first_answers_are_compared(answer: Answer, told: str) -> None:
    assert comparison(1.0, answer=answer).answers_differ == told


def test_embeddings_are_compared_by_their_cosine() -> None:
    one = Answer(None, (1.0, 0.0))
    assert one.difference(Answer(None, (2.0, 0.0))) == ""
    assert one.difference(Answer(None, (1.0, 1.0))) == "cosine 0.7071"
    assert one.difference(Answer(None, (1.0,))) == "cosine 0.0000"


def test_arms_are_told_with_what_was_asked_of_them_alone() -> None:
    found = comparison(1.0)
    found.b = parse_arm("option.compute_shaders=true WEBINFER_KV_CACHE_MB=64", "tones-whisper")
    one, two = verdicts.describe_arms(found)
    assert one.endswith("1 thread") and two.endswith("1 thread, option.compute_shaders=True, kv_cache_mb=64")


class FakeArm:
    """Opens at once; arm b takes `ratio` times as long."""

    ratio = 1.2
    log: list[str] = []  # noqa: RUF012

    def __init__(self, name: str, arm: Arm) -> None:
        self.name = name

    async def open(self) -> None:
        self.log.append(f"open {self.name[-1]}")

    async def burst(self) -> None:
        self.log.append(self.name[-1])

    async def sample_memory(self) -> None:
        self.log.append(f"memory {self.name[-1]}")

    async def finish(self) -> Start:
        self.log.append(f"finish {self.name[-1]}")
        return start(10.0 if self.name == "arm a" else 10.0 * self.ratio)

    async def close(self) -> None:
        self.log.append(f"close {self.name[-1]}")


def test_blocks_are_abba_and_begin_in_turn_until_the_interval_is_narrow(monkeypatch: Any) -> None:
    monkeypatch.setattr(comparing, "OpenArm", FakeArm)
    monkeypatch.setattr(comparing, "BLOCK_RUNS_S", 0.0)
    FakeArm.log = []
    seen: list[int] = []
    arm = Arm("", "digits-vit")
    found = asyncio.run(
        compare(arm, arm, Limits(0.03, 60.0), lambda text: None, lambda c: seen.append(len(c.blocks)))
    )
    assert found.is_narrow and seen == [1, 2, 3, 4, 5]
    assert FakeArm.log[:6] == ["open a", "open b", "a", "b", "b", "a"]
    # Of one program, whose pages both share for as long as both are up.
    assert FakeArm.log[6:10] == ["memory a", "memory b", "finish a", "finish b"]
    assert FakeArm.log[12:18] == ["open b", "open a", "b", "a", "a", "b"]
    assert "within 3.0 %" in verdicts.ending(found)


def test_the_end_of_the_budget_is_told(monkeypatch: Any) -> None:
    monkeypatch.setattr(comparing, "OpenArm", FakeArm)
    monkeypatch.setattr(comparing, "BLOCK_RUNS_S", 0.0)
    arm = Arm("", "digits-vit")
    found = asyncio.run(compare(arm, arm, Limits(0.03, 1e-9), lambda text: None))
    assert not found.is_narrow and len(found.blocks) == comparing.FEWEST_BLOCKS
    assert verdicts.ending(found).startswith("stopped at the end of the budget")


class CutArm(FakeArm):
    """Fails in the second block, by Ctrl-C or by itself."""

    fault: BaseException = asyncio.CancelledError()
    n_opened = 0

    async def open(self) -> None:
        CutArm.n_opened += 1
        if CutArm.n_opened > 2:
            raise self.fault


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (asyncio.CancelledError(), "stopped by hand, after 1 block, "),
        (
            ArmFailed("arm b", "its browser is gone"),
            "arm b did not run: its browser is gone, after 1 block, ",
        ),
    ],
)
def test_what_was_measured_before_it_was_cut_is_kept(
    monkeypatch: Any, fault: BaseException, told: str
) -> None:
    monkeypatch.setattr(comparing, "OpenArm", CutArm)
    monkeypatch.setattr(comparing, "BLOCK_RUNS_S", 0.0)
    monkeypatch.setattr(CutArm, "fault", fault)
    monkeypatch.setattr(CutArm, "n_opened", 0)
    arm = Arm("", "digits-vit")
    found = asyncio.run(compare(arm, arm, Limits(0.03, 60.0), lambda text: None))
    assert (len(found.blocks), found.is_narrow) == (1, False)
    assert verdicts.ending(found).startswith(told)
    assert comparison_document(found)["cut"] == found.cut != ""


def test_an_arm_that_cannot_start_is_an_error(monkeypatch: Any) -> None:
    monkeypatch.setattr(comparing, "OpenArm", CutArm)
    monkeypatch.setattr(CutArm, "fault", ArmFailed("arm a", "no such model"))
    monkeypatch.setattr(CutArm, "n_opened", 2)
    arm = Arm("", "digits-vit")
    with pytest.raises(ArmFailed, match="no such model"):
        asyncio.run(compare(arm, arm, Limits(0.03, 60.0), lambda text: None))


def test_a_document_is_json_of_a_version() -> None:
    plain = json.loads(write_document(comparison_document(comparison(1.1))))
    assert (plain["schema"], plain["version"], plain["kind"]) == ("webinfer-experiment", 1, "compare")
    assert plain["ratios"]["steady"]["low"] < 1.1 and len(plain["blocks"]) == 8
    assert check_document(plain, "compare", "x") is plain
    for wrong, why in (
        ({"version": 2}, "version 2"),
        ({"kind": "load"}, "'load'"),
        ({"schema": "x"}, "an experiment"),
    ):
        with pytest.raises(BadInput, match=why):
            check_document(plain | wrong, "compare", "x")
