"""A Whisper in name and interface only: real ONNX graphs whose every answer a test can work out by hand.

The encoder averages each mel channel. The decoder's logits are the counts of all ids so far times TABLE, plus
the encoder's averages times SOUND; both come through the cache, so a cache that is wired wrongly shows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.stand_ins.tiny_models import write_json

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
END, START, EN, DE, TRANSCRIBE, TRANSLATE, SILENT = range(10, 17)
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|translate|>"]
N_TOKENS = 17
N_MELS = 80
_CHANCE = np.random.default_rng(7)
TABLE = _CHANCE.standard_normal((N_TOKENS, N_TOKENS)).astype(np.float32)
SOUND = _CHANCE.standard_normal((N_MELS, N_TOKENS)).astype(np.float32) * 0.5
# As every Whisper has it.
FEATURES = {
    "feature_extractor_type": "WhisperFeatureExtractor",
    "feature_size": N_MELS,
    "chunk_length": 30,
    "sampling_rate": 16_000,
    "n_fft": 400,
    "hop_length": 160,
    "n_samples": 480_000,
    "nb_max_frames": 3000,
}
SUPPRESSED = [START, EN, DE, TRANSCRIBE, TRANSLATE, SILENT]


def compute_logits(ids: list[int], averages: np.ndarray) -> np.ndarray:
    """What the decoder gives after `ids` for the encoder's averages [N_MELS]."""
    return np.bincount(ids, minlength=N_TOKENS).astype(np.float32) @ TABLE + averages @ SOUND


def write_whisper(folder: Path, languages: bool = True, stamps: int = 0) -> Path:
    """The model's folder in transformers.js' layout; without languages it knows one only.

    With `stamps` it has so many time stamps.
    """
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    _write_encoder(folder / "onnx" / "encoder_model.onnx")
    _write_decoder(folder / "onnx" / "decoder_model_merged.onnx", stamps)
    _write_tokenizer(folder, stamps)
    sizes = {"num_mel_bins": N_MELS, "max_source_positions": 1500, "decoder_layers": 1}
    write_json(
        folder / "config.json",
        {"model_type": "whisper", "max_target_positions": 24, "vocab_size": N_TOKENS + stamps, **sizes},
    )
    write_json(folder / "preprocessor_config.json", FEATURES)
    spoken = {"lang_to_id": {"<|en|>": EN, "<|de|>": DE}}
    spoken |= {"task_to_id": {"transcribe": TRANSCRIBE, "translate": TRANSLATE}}
    write_json(
        folder / "generation_config.json",
        {
            "decoder_start_token_id": START,
            "eos_token_id": END,
            "no_timestamps_token_id": SILENT,
            "suppress_tokens": SUPPRESSED,
            "begin_suppress_tokens": [END],
            "max_length": 20,
            **(spoken if languages else {}),
        },
    )
    return folder


def _write_tokenizer(folder: Path, stamps: int) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="zero")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens([*SPECIAL, "<|notimestamps|>"])
    tokenizer.add_tokens([AddedToken(f"<|{number * 0.02:.2f}|>") for number in range(stamps)])
    tokenizer.save(str(folder / "tokenizer.json"))


def _write_encoder(path: Path) -> None:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("ReduceMean", ["input_features"], ["means"], axes=[2], keepdims=1),
        helper.make_node("Transpose", ["means"], ["last_hidden_state"], perm=[0, 2, 1]),
    ]
    features = helper.make_tensor_value_info(
        "input_features", TensorProto.FLOAT, ["batch_size", N_MELS, "frames"]
    )
    hidden = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch_size", 1, N_MELS])
    _save(path, nodes, [features], [hidden], {})


def _with_stamps(weights: np.ndarray, axes: tuple[int, ...], stamps: int) -> np.ndarray:
    """The weights with rows or columns for stamps."""
    chance = np.random.default_rng(11)
    for axis in axes:
        shape = [*weights.shape]
        shape[axis] = stamps
        more = chance.standard_normal(shape).astype(np.float32) * 0.5
        weights = np.concatenate([weights, more], axis)
    return weights


def _write_decoder(path: Path, stamps: int = 0) -> None:
    from onnx import TensorProto, helper

    n_tokens = N_TOKENS + stamps

    def floats(name: str, *shape: object) -> object:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))

    node = helper.make_node
    nodes = [
        node("OneHot", ["input_ids", "depth", "off_on"], ["hot"], axis=-1),
        node("Unsqueeze", ["hot", "one"], ["fresh_ids"]),
        node("Concat", ["past_key_values.0.decoder.key", "fresh_ids"], ["present.0.decoder.key"], axis=2),
        node("ReduceSum", ["present.0.decoder.key", "one_two"], ["counts"], keepdims=0),
        node("MatMul", ["counts", "table"], ["from_ids"]),
        node("Unsqueeze", ["encoder_hidden_states", "one"], ["fresh_sound"]),
        node("Cast", ["use_cache_branch"], ["cached"], to=TensorProto.FLOAT),
        node("Sub", ["unit", "cached"], ["uncached"]),
        # With a cache the encoder's part comes from there, and what is given back for it is of no use.
        node("Mul", ["fresh_sound", "uncached"], ["present.0.encoder.key"]),
        node("Concat", ["past_key_values.0.encoder.key", "present.0.encoder.key"], ["both"], axis=2),
        node("ReduceSum", ["both", "one_two"], ["averages"], keepdims=0),
        node("MatMul", ["averages", "sound"], ["from_sound"]),
        node("Add", ["from_ids", "from_sound"], ["flat"]),
        node("Unsqueeze", ["flat", "one"], ["logits"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch_size", "tokens"]),
        floats("encoder_hidden_states", "batch_size", 1, N_MELS),
        floats("past_key_values.0.decoder.key", "batch_size", 1, "past", n_tokens),
        floats("past_key_values.0.encoder.key", "batch_size", 1, "positions", N_MELS),
        helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1]),
    ]
    outputs = [
        floats("logits", "batch_size", 1, n_tokens),
        floats("present.0.decoder.key", "batch_size", 1, "seen", n_tokens),
        floats("present.0.encoder.key", "batch_size", 1, "positions", N_MELS),
    ]
    constants = {
        "depth": np.array(n_tokens),
        "off_on": np.array([0, 1], np.float32),
        "one": np.array([1]),
        "one_two": np.array([1, 2]),
        "table": _with_stamps(TABLE, (0, 1), stamps),
        "sound": _with_stamps(SOUND, (1,), stamps),
        "unit": np.array([1], np.float32),
    }
    _save(path, nodes, inputs, outputs, constants)


def _save(
    path: Path,
    nodes: list[object],
    inputs: list[object],
    outputs: list[object],
    constants: dict[str, np.ndarray],
) -> None:
    import onnx
    from onnx import helper, numpy_helper

    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))
