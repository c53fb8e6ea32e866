"""The table of families: every row has its code, and a row that lacks some is told what."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, BadOutput, Unsupported
from browser_runtime.contract.families import (
    AUDIO,
    CLIP,
    FAMILIES,
    LLAVA,
    PREFERRED_BROWSER,
    TEXT_EMBEDDING,
    TEXT_GENERATION,
    VISION,
    find_row,
    inputs_of,
    parse_family,
    rows_of,
    served_families,
)
from browser_runtime.contract.family_spec import FamilySpec, InputSpec
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Family
from browser_runtime.families.processor import Processor, find_processor
from browser_runtime.models.configuration.embeddings import CONFIG_FILE, TRANSFORMER_FILES
from browser_runtime.models.configuration.sentence_modules import MODULES_FILE
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.pool.dispatch.preparing import prepare

HOME = Path(__file__).parents[2]
# What a producer must not load.
HEAVY = ("onnxruntime", "PIL", "soundfile", "selenium", "websockets", "tokenizers", "numpy")


def has_attribute(name: str) -> Callable[[str], bool]:
    def check(module: str) -> bool:
        try:
            return importlib.util.find_spec(module) is not None and hasattr(
                importlib.import_module(module), name
            )
        except ModuleNotFoundError:
            return False

    return check


def missing_parts(row: FamilySpec) -> Iterator[str]:
    """The parts that a row of the table needs and does not have, by file and name."""
    parts = (
        (f"browser_runtime.families.{row.name}", "PROCESSOR"),
        (f"browser_runtime.simulation.{row.name}", "RUNNER"),
        (f"tasks.inputs.{row.inputs.batch}", "READER"),
    )
    for module, name in parts:
        if not has_attribute(name)(module):
            yield f"{module.replace('.', '/')}.py with {name}"
    page = HOME / "browser_runtime/page/families" / f"{row.name}.js"
    if not page.exists() or "export async function open(" not in page.read_text(encoding="utf-8"):
        yield f"browser_runtime/page/families/{row.name}.js with open()"
    for family in row.model_types:
        if family not in PREFERRED_BROWSER:
            yield f"a prior of {family} in browser_runtime/contract/families.py"
    if not any(model.family is row for model in builtin_models()):
        yield f"a built-in model of {row.name} in browser_runtime/models/builtin"


def builtin_models() -> list[StoredModel]:
    names = [path.name for path in (HOME / "browser_runtime/models/builtin").iterdir() if path.is_dir()]
    found = [ModelStore(Path("/nonexistent")).find(name) for name in names]
    return [model for model in found if model is not None]


@pytest.mark.parametrize("row", FAMILIES.values(), ids=str)
def test_a_row_has_all_its_parts(row: FamilySpec) -> None:
    assert list(missing_parts(row)) == []


def test_the_parts_that_a_new_row_lacks_are_named() -> None:
    smells = InputSpec("smells", "smell")
    row = replace(VISION, name="olfaction", model_types=(Family.MULTIMODAL,), inputs=smells)
    assert list(missing_parts(row)) == [
        "browser_runtime/families/olfaction.py with PROCESSOR",
        "browser_runtime/simulation/olfaction.py with RUNNER",
        "tasks/inputs/smells.py with READER",
        "browser_runtime/page/families/olfaction.js with open()",
        "a built-in model of olfaction in browser_runtime/models/builtin",
    ]
    with pytest.raises(Unsupported, match="the family olfaction"):
        find_processor(row)


def test_one_model_type_may_have_several_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(VISION, name="depth", model_types=(Family.VISION,))
    monkeypatch.setitem(FAMILIES, "depth", row)
    assert rows_of(Family.VISION) == (VISION, CLIP, row)
    assert rows_of(Family.MULTIMODAL) == (LLAVA, CLIP)
    assert parse_family("multimodal") is Family.MULTIMODAL in served_families()
    assert inputs_of(Family.MULTIMODAL).batch == "images"
    assert find_row("depth") is row


async def test_an_option_of_another_row_of_the_model_type_is_refused() -> None:
    (model,) = (model for model in builtin_models() if model.family is VISION)
    bare = replace(model, family=replace(VISION, name="clip", options=()))
    asked = Request(Family.VISION, model.name, {"images": []}, options={"top_k": 2}, single=False)
    assert (await prepare(asked, model)).request is asked
    with pytest.raises(BadInput, match="the option 'top_k' is unknown to clip"):
        await prepare(asked, bare)


async def test_a_seed_that_is_drawn_before_the_row_is_known_changes_nothing_in_others() -> None:
    (clip,) = (model for model in builtin_models() if model.family is CLIP)
    (llava,) = (model for model in builtin_models() if model.family is LLAVA)
    asked = Request(Family.MULTIMODAL, clip.name, {"images": []}, drawn_seed=5, single=False)
    assert Request.from_wire(asked.to_wire()) == asked
    assert (await prepare(asked, clip)).request is asked
    assert (await prepare(asked, llava)).request.options == {"seed": 5}


async def test_a_seed_that_a_user_gives_is_refused_where_nothing_is_drawn() -> None:
    (clip,) = (model for model in builtin_models() if model.family is CLIP)
    asked = Request(Family.MULTIMODAL, clip.name, {"images": []}, options={"seed": 5}, single=False)
    with pytest.raises(BadInput, match="the option 'seed' is unknown to clip"):
        await prepare(asked, clip)


def test_model_types_without_a_row_are_known_and_not_served() -> None:
    assert set(PREFERRED_BROWSER) == set(Family)
    with patch.dict(FAMILIES):  # puts the rows back in their order too
        for name in ("clip", "llava"):
            del FAMILIES[name]
        with pytest.raises(BadInput, match="model_type is 'multimodal', but must be one of text_embedding, "):
            parse_family("multimodal")
    with pytest.raises(BadInput, match="family is 'resnet', but must be one of text_embedding, vision"):
        find_row("resnet")


def test_the_files_of_a_row_are_those_that_its_plans_read() -> None:
    known = TEXT_EMBEDDING.files.known
    assert {CONFIG_FILE, MODULES_FILE, *TRANSFORMER_FILES} <= set(known)
    assert len(set(known)) == len(known)


@pytest.mark.parametrize("row", FAMILIES.values(), ids=str)
def test_a_graph_has_a_name_in_every_precision(row: FamilySpec) -> None:
    for graphs in row.layouts:
        for precision in row.precisions:
            names = [bool(graph.paths(precision)) for graph in graphs]
            assert all(names) or not any(names), "a precision in which some graphs have no name is none"
    assert row.precision in row.precisions


def test_a_producer_loads_no_engine_with_the_table() -> None:
    code = "import sys, browser_runtime.contract.options; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HOME)
    assert set(HEAVY) & set(done.stdout.split()) == set()


async def test_a_sound_s_length_is_counted_in_the_windows_of_its_model() -> None:
    """Of 30 s, as Whisper's own models have them, a model of 10 s would batch 25 s with 5 s."""
    (model,) = (model for model in builtin_models() if model.family is AUDIO)
    sounds = [np.zeros(seconds * 16_000, np.float32) for seconds in (5, 10, 25, 30)]
    prepared = await prepare(Request(Family.AUDIO, model.name, {"sounds": sounds}, single=False), model)
    assert prepared.lengths == (1.0, 1.0, 3.0, 3.0)
    assert prepared.work == 70.0


@pytest.mark.parametrize(
    ("options", "work"),
    [({"max_new_tokens": 7}, 2 * 7), ({}, 2 * 256), ({"max_new_tokens": 32_768}, 2 * 256)],
)
async def test_the_work_of_a_prompt_is_its_tokens_and_those_that_the_model_has_room_for(
    options: dict[str, int], work: int
) -> None:
    (model,) = (model for model in builtin_models() if model.family is TEXT_GENERATION)
    prompts, usual = {"prompts": ["Write", "Write 5"]}, TEXT_GENERATION.precision
    request = Request(Family.TEXT_GENERATION, model.name, prompts, precision=usual, options=options)
    prepared = await prepare(request, model)
    (one, other) = prepared.lengths
    assert prepared.work == (one + other + work if options.get("max_new_tokens") == 7 else work)


def test_what_a_family_does_not_need_stays_as_it_is() -> None:
    processor = Processor()
    assert processor.encode(["a"], ["texts[0]"], {}) == ["a"]
    assert processor.finish({"labels": []}) == {"labels": []}
    assert (processor.settings, processor.describe(), processor.choose({"top_k": 1})) == (
        {},
        {},
        {"top_k": 1},
    )


def test_an_embedding_of_zeros_is_no_answer_unless_its_text_has_no_token(tmp_path: Path) -> None:
    processor = find_processor(TEXT_EMBEDDING).open(ModelStore(tmp_path).ensure("sentences-bert"))
    zeros = {"embedding": np.zeros(8, np.float32), "tokens": 3, "truncated": False}
    with pytest.raises(BadOutput, match="the embedding of 3 tokens is all zeros"):
        processor.finish(zeros)
    assert processor.finish(zeros | {"tokens": 0}) == zeros | {"tokens": 0}


def test_logits_that_are_all_equal_are_warned_of(tmp_path: Path) -> None:
    processor = find_processor(VISION).open(ModelStore(tmp_path).ensure("digits-vit"))
    assert processor.find_doubt({"logits": np.ones(10, np.float32)}) == (
        "all 10 logits are equal: the labels are in no order"
    )
    for usual in (np.arange(10.0), np.ones(1)):
        assert processor.find_doubt({"logits": usual}) == ""
