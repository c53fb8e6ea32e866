"""Language models as ONNX graphs: taken in, answered as transformers does, refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.options import require_options_of
from browser_runtime.contract.vocabulary import Family, Precision
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.simulation import reference
from tests.stand_ins.language_graphs import GRAPHS, REFERENCE, write_language_graph, write_numbers_graphs

PRECISIONS = (Precision.FP32, Precision.FP16, Precision.INT8, Precision.Q4)
GREEDY = {"temperature": 0.0, "max_new_tokens": 24, "seed": 1}


def take(folder: Path, store: Path) -> StoredModel:
    return import_model(folder, "tiny", store=ModelStore(store))


@pytest.mark.parametrize("kind", GRAPHS)
def test_greedy_tokens_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    model = take(write_language_graph(tmp_path / kind, kind), tmp_path / "store")
    assert (model.family.name, model.precisions) == ("text_generation", (Precision.FP32,))
    found = reference(model, Family.TEXT_GENERATION, REFERENCE["prompts"], GREEDY)
    assert [output["tokens"] for output in found] == REFERENCE["answers"][kind]
    assert {output["finish"] for output in found} == {"length"}


def test_each_precision_answers_as_few_bits_do(tmp_path: Path) -> None:
    model = take(write_numbers_graphs(tmp_path / "numbers", PRECISIONS), tmp_path / "store")
    assert set(model.precisions) == set(PRECISIONS)
    builtin = ModelStore(tmp_path / "store").find("numbers-llama")
    assert builtin is not None
    prompts: list[Any] = [
        [{"role": "user", "content": text}] for text in ("Write 347 in words.", "What is 48 + 27?")
    ]
    wanted = reference(builtin, Family.TEXT_GENERATION, prompts, GREEDY, Precision.BITS_4)
    for precision in PRECISIONS:
        found = reference(model, Family.TEXT_GENERATION, prompts, GREEDY, precision)
        assert [output["tokens"] for output in found] == [output["tokens"] for output in wanted], precision


def test_a_model_of_both_kinds_runs_its_few_bits_where_both_have_the_precision(tmp_path: Path) -> None:
    model = take(write_numbers_graphs(tmp_path / "numbers", [Precision.FP32]), tmp_path / "store")
    with pytest.raises(BadInput, match=r"'4bit', but must be what model 'tiny' comes in: fp32"):
        model.graphs(Precision.BITS_4)
    with pytest.raises(BadInput, match=r"options.kv_cache is 'k3v2', but must be left out: .*model\.onnx"):
        require_options_of(model.family, {"kv_cache": "k3v2"}, model.graphs(Precision.FP32))
    require_options_of(model.family, {"kv_cache": "k3v2"}, ["low_bits"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
            "'gpt2'.*llama, qwen2, qwen3, mistral",
        ),
        ({"model_type": "gemma3_text"}, "'gemma3_text'.*llama, qwen2, qwen3, mistral"),
        ({"rope_wobble": 3}, "rope_wobble of config.json is 3"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    folder = write_language_graph(tmp_path / "llama", "llama")
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=words):
        import_model(folder, "tiny", store=ModelStore(tmp_path / "store"))


def test_a_graph_without_a_cache_is_refused(tmp_path: Path) -> None:
    import onnx

    folder = write_language_graph(tmp_path / "llama", "llama")
    graph = onnx.load(folder / "onnx" / "model.onnx")
    names = [entry.name for entry in graph.graph.input]
    for index in reversed([at for at, name in enumerate(names) if name.startswith("past_key_values")]):
        past = graph.graph.input[index]
        sizes = [1, 2, 0, 8]
        graph.graph.initializer.append(onnx.helper.make_tensor(past.name, onnx.TensorProto.FLOAT, sizes, []))
        del graph.graph.input[index]
    onnx.save(graph, folder / "onnx" / "model.onnx")
    with pytest.raises(BadRequest, match="takes no past_key_values"):
        take(folder, tmp_path / "store")
