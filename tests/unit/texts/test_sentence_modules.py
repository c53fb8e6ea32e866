"""Every shape of a sentence-transformers model, against sentence-transformers' own numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.contract.vocabulary import Family
from browser_runtime.families.processor import OpenProcessors
from browser_runtime.models.configuration.embeddings import EmbeddingPlan
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference
from browser_runtime.texts import module_weights
from tests.stand_ins.sentence_models import TEXTS, VARIANTS, save_weights, write_variant
from tests.stand_ins.tiny_models import write_json, write_modules
from webinfer.commands.models import command

EXPECTED = json.loads((Path(__file__).parents[2] / "data/sentence_modules.json").read_text())["answers"]
TOLERANCE = 1e-5


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.mark.parametrize("variant", VARIANTS)
def test_embeddings_are_those_of_sentence_transformers(
    store: ModelStore, tmp_path: Path, variant: str
) -> None:
    import_model(write_variant(tmp_path / "source", variant), "tiny", store=store)
    model = store.ensure("tiny")
    for call in EXPECTED[variant]:
        outputs = reference(model, Family.TEXT_EMBEDDING, list(TEXTS), call["options"])
        found = np.stack([output["embedding"] for output in outputs])
        np.testing.assert_allclose(found, call["embeddings"], rtol=0, atol=TOLERANCE)


def test_a_manifest_from_before_modules_had_a_list_is_read_anew(store: ModelStore, tmp_path: Path) -> None:
    """Then Dense layers were left out: such a model now says what it lacks."""
    model = import_model(write_variant(tmp_path / "source", "dense"), "tiny", store=store)
    manifest = json.loads((model.folder / "webinfer.json").read_text())
    manifest["settings"] = {"pooling": "mean", "normalize": True, "max_tokens": 16}
    for path in ("2_Dense/config.json", "2_Dense/model.safetensors"):
        del manifest["files"][path]
        (model.folder / path).unlink()
    write_json(model.folder / "webinfer.json", manifest)
    with pytest.raises(BadRequest, match=r"has no 2_Dense/config.json, .* pull or import it again"):
        reference(ModelStore(store.root).ensure("tiny"), Family.TEXT_EMBEDDING, ["a man"])


def test_more_dimensions_than_there_are_and_prompts_that_there_are_not_are_refused(
    store: ModelStore, tmp_path: Path
) -> None:
    model = import_model(write_variant(tmp_path / "source", "default prompt"), "tiny", store=store)
    with pytest.raises(
        BadInput, match=r"options.dimensions is 9, but must be at most 8, what the model gives"
    ):
        reference(model, Family.TEXT_EMBEDDING, ["a"], {"dimensions": 9})
    with pytest.raises(BadInput, match=r"prompt_name is 'queri', .* one of the model's: passage, query"):
        reference(model, Family.TEXT_EMBEDDING, ["a"], {"prompt_name": "queri"})
    with pytest.raises(BadInput, match=r"prompt_name is 'query', but must be left out beside options.prompt"):
        reference(model, Family.TEXT_EMBEDDING, ["a"], {"prompt_name": "query", "prompt": "x"})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda at: (at / "2_Dense/model.safetensors").unlink(),
            "2_Dense/model.safetensors is missing; .* pickle",
        ),
        (
            lambda at: (at / "2_Dense/model.safetensors").write_bytes(b"no"),
            "2_Dense/model.safetensors is no safetensors file",
        ),
        (
            lambda at: save_weights(at / "2_Dense", {"linear.weight": np.zeros((3, 8), np.float32)}),
            r"holds .*, but its configuration asks for .*'linear.bias': \(3,\)",
        ),
        (
            lambda at: save_weights(at / "2_Dense", {"linear.weight": np.zeros((3, 8), np.int64)}),
            "linear.weight in 2_Dense/model.safetensors is of type I64",
        ),
        (
            lambda at: write_json(at / "2_Dense/config.json", {"in_features": 7, "out_features": 3}),
            "2_Dense takes vectors of 7 numbers, but is given 8",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_at_import(
    store: ModelStore, tmp_path: Path, change, sentence: str
) -> None:
    source = write_variant(tmp_path / "source", "dense")
    change(source)
    with pytest.raises(BadRequest, match=sentence):
        import_model(source, "tiny", store=store)
    assert store.find("tiny") is None


def test_half_precision_weights_of_both_kinds_are_read(tmp_path: Path) -> None:
    numbers = np.array([1.0, -2.5, 0.0, 3.140625], np.float32)
    halves = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    entry = {"dtype": "BF16", "shape": [2, 2], "data": bytearray(halves.tobytes())}
    np.testing.assert_array_equal(module_weights._to_floats(entry, "x"), numbers.reshape(2, 2))


TRANSFORMER = ("", "Transformer", None)
REFUSED = [
    (
        [TRANSFORMER, ("1", "WordEmbeddings", {})],
        "type of modules.json is 'sentence_transformers.models.WordEmb",
    ),
    ([("", "CLIPModel", None)], r"CLIPModel', but must be one of .* Transformer, Pooling, Dense, LayerNorm"),
    ([TRANSFORMER, ("1_Pooling", "Pooling", {}), ("2_LSTM", "LSTM", {})], "models.LSTM'"),
    ([("", "Router", None)], "models.Router'"),
    ([("", "StaticEmbedding", None)], "models.StaticEmbedding'"),
    ([("", "custom_st.Transformer", None)], "'custom_st.Transformer', but must be one of sentence-trans"),
    ([TRANSFORMER], "the order of modules.json is 'Transformer', but must be a Transformer, its Pooling"),
    ([TRANSFORMER, ("1_Dense", "Dense", {}), ("2_Pooling", "Pooling", {})], "the order of modules.json is"),
    ([("0_BERT", "Transformer", None), ("1_Pooling", "Pooling", {})], "path of modules.json is '0_BERT'"),
    ([TRANSFORMER, ("../1_Pooling", "Pooling", None)], r"path of modules.json is '\.\./1_Pooling'"),
    (
        [TRANSFORMER, ("1_Pooling", "Pooling", {"pooling_mode": "median"})],
        "pooling_mode of 1_Pooling/config.json is 'median', but must be one or several of cls, max",
    ),
    (
        [TRANSFORMER, ("1_Pooling", "Pooling", {"pooling_mode_mean_token": True})],
        "pooling_mode_mean_token of 1_Pooling/config.json is True, .*did you mean .pooling_mode_mean_tokens.",
    ),
    (
        [
            TRANSFORMER,
            ("1_Pooling", "Pooling", {}),
            ("2_Dense", "Dense", {"in_features": 8, "out_features": 3, "activation_function": "my.Swish"}),
        ],
        "activation_function of 2_Dense/config.json is 'my.Swish', but must be torch.nn's Identity, ReLU",
    ),
    (
        [
            TRANSFORMER,
            ("1_Pooling", "Pooling", {}),
            (
                "2_Dense",
                "Dense",
                {"in_features": 8, "out_features": 3, "module_input_name": "token_embeddings"},
            ),
        ],
        "module_input_name of .* is .token_embeddings., but must be left out or 'sentence_embedding'",
    ),
]


@pytest.mark.parametrize(("modules", "sentence"), REFUSED)
def test_modules_that_are_not_done_are_refused_by_name(
    store: ModelStore, tmp_path: Path, modules: list, sentence: str
) -> None:
    source = write_variant(tmp_path / "source", "mean")
    (source / "1_Pooling" / "config.json").unlink()
    write_modules(source, *modules)
    with pytest.raises(BadInput, match=sentence):
        import_model(source, "tiny", store=store)
    assert store.find("tiny") is None


@pytest.mark.parametrize(
    ("file", "values", "sentence"),
    [
        ("sentence_bert_config.json", {"max_seq_len": 5}, "max_seq_len of sentence_bert_config.json is 5"),
        (
            "sentence_bert_config.json",
            {"transformer_task": "fill-mask"},
            "transformer_task of .* is .fill-mask., but must be left out or 'feature-extraction'",
        ),
        ("sentence_bert_config.json", {"query_length": 32}, "query_length of .* is 32, but must be left out"),
        (
            "config_sentence_transformers.json",
            {"model_type": "SparseEncoder"},
            "model_type of config_sentence_transformers.json is 'SparseEncoder'",
        ),
        (
            "config_sentence_transformers.json",
            {"prompts": {"query": "q: "}, "default_prompt_name": "document"},
            "default_prompt_name of .* is 'document', but must be one of its prompts: query",
        ),
        (
            "config_sentence_transformers.json",
            {"prompts": ["q: "]},
            "prompts of .*, but must be an object of texts",
        ),
        ("config_sentence_transformers.json", {"similarity_fn_name": "maxsim"}, "similarity_fn_name of"),
        (
            "config_sentence_transformers.json",
            {"truncate_dim": 0},
            "truncate_dim of .* is 0, but must be a whole number",
        ),
    ],
)
def test_configuration_that_is_not_done_is_refused_by_name(
    store: ModelStore, tmp_path: Path, file: str, values: dict, sentence: str
) -> None:
    source = write_variant(tmp_path / "source", "mean")
    write_json(source / file, values)
    with pytest.raises(BadInput, match=sentence):
        import_model(source, "tiny", store=store)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "sentence_bert_config.json": {"max_seq_length": 12},
                "tokenizer_config.json": {"model_max_length": 8},
            },
            12,
        ),
        (
            {
                "sentence_bert_config.json": {"max_seq_length": None},
                "tokenizer_config.json": {"model_max_length": 8},
            },
            8,
        ),
        ({"sentence_bert_config.json": {"max_seq_length": 900}}, 32),
        ({"sentence_bert_config.json": {}, "tokenizer_config.json": {"model_max_length": 1e30}}, 32),
        (
            {
                "sentence_bert_config.json": {},
                "config.json": {
                    "model_type": "xlm-roberta",
                    "max_position_embeddings": 514,
                    "pad_token_id": 1,
                },
            },
            512,
        ),
    ],
)
def test_texts_are_cut_where_sentence_transformers_cuts_and_no_position_is_missing(
    tmp_path: Path, files: dict[str, dict], expected: int
) -> None:
    folder = write_variant(tmp_path / "source", "mean")
    for name, values in files.items():
        write_json(folder / name, values)
    assert EmbeddingPlan.read(folder).max_tokens == expected


def test_what_a_model_leaves_open_is_told_at_import_and_in_replies(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_variant(tmp_path / "source", "mean")
    (source / "modules.json").unlink()
    (source / "1_Pooling" / "config.json").unlink()
    write_json(source / "tokenizer_config.json", {"prefix_tokens": [3]})
    model = import_model(source, "tiny", store=store)
    expected = [
        "the model's files name no pooling: the mean of its tokens was taken and normalised",
        "tokenizer_config.json has keys that are not known here: prefix_tokens",
    ]
    assert OpenProcessors().take(model).settings["details"]["warnings"] == expected
    monkeypatch.setenv("WEBINFER_MODELS_DIR", str(store.root))
    done = CliRunner().invoke(command, ["import", str(source), "--name", "again"])
    assert done.stderr.splitlines() == [f"warning: {warning}" for warning in expected]
