"""What the benchmark of sharing says of its arms, and the models that it makes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.models.store import ModelStore
from webinfer.bench.sharing import Arm, Comparison, Inputs, SharingRun, _is_equal, plan_workflow
from webinfer.commands.bench_sharing import WORKFLOWS


def test_shares_and_speed_are_on_to_off() -> None:
    off = Arm(held_mb=100.0, pss_mb=200.0, seconds=10.0, n=20)
    on = Arm(held_mb=40.0, pss_mb=150.0, seconds=5.0, n=20)
    found = Comparison("w", ["a"], off, on)
    assert (found.saved_weights, found.saved_pss, found.speed_up) == (0.6, 0.25, 2.0)
    assert found.to_plain()["speed_up"] == 2.0


def test_a_run_goes_on_from_what_it_kept_and_from_no_other() -> None:
    run = SharingRun("chrome", "sentences-bert", Inputs(6, 3))
    off = Arm(held_mb=2.0, pss_mb=3.0, seconds=1.0, n=3)
    found = Comparison("w", ["a"], off, Arm(held_mb=1.0, pss_mb=2.0, seconds=1.0, n=6, hits=3))
    run.workflows["sound"] = found
    plain = json.loads(json.dumps(run.to_plain()))
    again = SharingRun("chrome", "sentences-bert", Inputs(6, 3)).continued(plain, "f")
    assert again.workflows == {"sound": found}
    with pytest.raises(BadInput, match="--resume is f, a run of"):
        SharingRun("edge", "sentences-bert", Inputs(6, 3)).continued(plain, "f")
    for broken in ([], {"workflows": {}}, {**plain, "workflows": {"sound": {"name": "w"}}}):
        with pytest.raises(BadInput, match="no such run"):
            run.continued(broken, "f")


def test_answers_are_equal_to_the_bit_or_not() -> None:
    one = {"embedding": np.float32([1, 2]), "labels": [{"label": "a", "score": 0.5}]}
    assert _is_equal(one, {"embedding": np.float32([1, 2]), "labels": [{"label": "a", "score": 0.5}]})
    assert not _is_equal(one, {**one, "embedding": np.nextafter(one["embedding"], np.float32(9))})
    assert not _is_equal([one], [one, one])


def test_models_of_a_workflow_have_graphs_in_common(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models")
    for name in WORKFLOWS:
        workflow = plan_workflow(name, "sentences-bert", tmp_path, store)
        names = dict.fromkeys(step.model for step in workflow.steps)
        models = [model for name in names if (model := store.find(name)) is not None]
        contents = [{each.hash for each in model.contents(Precision.FP32).values()} for model in models]
        assert len(models) == len(names)
        if "sound" not in workflow.name:  # its models share results alone
            assert set.intersection(*contents), workflow.name
        assert workflow.steps[0].request(workflow.make_input(0)).model_name == workflow.steps[0].model
