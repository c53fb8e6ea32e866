"""Writes gguf/: small GGUF files by the `gguf` package, and what others make of them.

Run once, in an environment of its own; the tests need none of these:

    pip install gguf==0.19.0 transformers==5.24.0 accelerate torch sentencepiece==0.2.3 tokenizers==0.23.3
    PYTHONPATH=. python tests/data/make_gguf.py

- blocks.npz: random blocks of each type, and the numbers that `gguf.dequantize` reads in them
- llama.gguf, qwen2.gguf: tiny models with byte-level tokenizers, in several types; their logits by transformers'
  own reading of GGUF, the ids of some texts by the `tokenizers` that the vocabulary was taken from
- sentencepiece.gguf: a tokenizer alone; the ids by `sentencepiece` itself
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import sentencepiece
import tokenizers
import torch
import transformers
from gguf import GGMLQuantizationType as Type

from tests.stand_ins.decoders import config_of, shapes_of, tensor

CORPUS = (Path(__file__).parent / "resource-pool-guide.md").read_text(encoding="utf-8")
TEXTS = [
    "Hello world 1234, it's  fine\n\n  x",
    "<|im_start|>user\nWhat is 2+2?<|im_end|>\n",
    "naïve café, 你好 🙂 e\u0301",
    "",
    " leading and trailing ",
    "DON'T\tSHOUT\r\nplease",
]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TOKENS = [(7 * i * i + 3 * i + 5) % 300 for i in range(40)]
KINDS = [0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 30]
# Each matrix of a layer in a type of its own; all take rows of 32.
TYPES = {
    "attn_q": Type.Q8_0,
    "attn_k": Type.Q4_0,
    "attn_v": Type.F16,
    "attn_output": Type.Q4_1,
    "ffn_gate": Type.Q5_0,
    "ffn_up": Type.Q5_1,
    "ffn_down": Type.BF16,
}
NAMES = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def write_blocks(target: Path) -> None:
    """Random bytes are numbers of any type; those that are none are left out of the comparison."""
    rng = np.random.RandomState(0)
    arrays = {}
    for number in KINDS:
        kind = Type(number)
        raw = rng.randint(0, 256, (4, gguf.GGML_QUANT_SIZES[kind][1] * (2 if number > 1 and number != 30 else 64)))
        raw = raw.astype(np.uint8)
        given = raw.view({0: np.float32, 1: np.float16}.get(number, np.uint8))
        with np.errstate(all="ignore"):
            arrays |= {f"{kind.name}_bytes": raw, f"{kind.name}_numbers": gguf.dequantize(given, kind).reshape(-1)}
    np.savez_compressed(target, **arrays)


def train(kind: str) -> tokenizers.Tokenizer:
    """A byte-level tokenizer with the model's way of splitting."""
    pre = tokenizers.pre_tokenizers
    built = tokenizers.Tokenizer(tokenizers.models.BPE())
    if kind == "smollm":
        built.pre_tokenizer = pre.Sequence([pre.Digits(individual_digits=True), pre.ByteLevel(add_prefix_space=False)])
    else:
        built.normalizer = tokenizers.normalizers.NFC()
        split = pre.Split(tokenizers.Regex(SPLIT), behavior="isolated")
        built.pre_tokenizer = pre.Sequence([split, pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    built.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
    )
    built.train_from_iterator([CORPUS], trainer)
    return built


def put_tokenizer(writer: gguf.GGUFWriter, built: tokenizers.Tokenizer, pre: str) -> int:
    """The tokenizer's parts, as llama.cpp's converter writes them; how many tokens."""
    model = json.loads(built.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}{% endfor %}")
    return len(tokens)


def interleave(rows: np.ndarray, n_heads: int) -> np.ndarray:
    """What llama.cpp's converter does to LLaMA's queries and keys."""
    return rows.reshape(n_heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def write_model(path: Path, architecture: str, pre: str) -> tokenizers.Tokenizer:
    """A tiny model of that architecture; its tokenizer."""
    built = train(pre)
    writer = gguf.GGUFWriter(path, architecture)
    n_tokens = put_tokenizer(writer, built, pre)
    config = config_of({"llama": "smollm2", "qwen2": "qwen2"}[architecture])
    config |= {"vocab_size": n_tokens, "hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4}
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_block_count(2)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_dimension_count(16)
    writer.add_rope_freq_base(100000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(n_tokens)
    for name, shape in shapes_of(config).items():
        put_tensor(writer, architecture, name, tensor(name, shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return built


def put_tensor(writer: gguf.GGUFWriter, architecture: str, name: str, numbers: np.ndarray) -> None:
    parts = name.split(".")
    if name == "model.embed_tokens.weight":
        return add(writer, "token_embd.weight", numbers, Type.Q8_0)
    if name == "model.norm.weight":
        return add(writer, "output_norm.weight", numbers, Type.F32)
    here, end = f"blk.{parts[2]}.", parts[-1]
    if "layernorm" in name:
        which = "attn_norm" if "input" in name else "ffn_norm"
        return add(writer, f"{here}{which}.weight", numbers, Type.F32)
    short = parts[-2].removesuffix("_proj")
    if architecture == "llama" and short in ("q", "k"):
        numbers = interleave(numbers, 4 if short == "q" else 2)
    return add(writer, f"{here}{NAMES[short]}.{end}", numbers, TYPES[NAMES[short]] if end == "weight" else Type.F32)


def add(writer: gguf.GGUFWriter, name: str, numbers: np.ndarray, kind: Type) -> None:
    """The numbers in that type."""
    if kind is Type.F32:
        writer.add_tensor(name, numbers)
    else:
        writer.add_tensor(name, gguf.quantize(numbers, kind), raw_dtype=kind)


def logits_of(path: Path) -> np.ndarray:
    """What transformers computes with the file."""
    loaded = transformers.AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32)
    with torch.no_grad():
        return loaded.eval()(torch.tensor([TOKENS])).logits[0].numpy()


def write_sentencepiece(path: Path) -> dict[str, list[int]]:
    """A SentencePiece BPE with bytes to fall back on; its own ids of the texts."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.splitlines()),
        model_writer=model,
        vocab_size=420,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    numbers = range(pieces.vocab_size())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([pieces.id_to_piece(i) for i in numbers])
    writer.add_token_scores([pieces.get_score(i) for i in numbers])
    writer.add_token_types([2 if pieces.is_unknown(i) else 3 if pieces.is_control(i) else 6 if pieces.is_byte(i) else 1 for i in numbers])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {text: [1, *pieces.encode(text)] for text in TEXTS if "<|" not in text}


def main(target: Path) -> None:
    """Writes all of it."""
    target.mkdir(exist_ok=True)
    write_blocks(target / "blocks.npz")
    ids, logits = {}, {}
    for architecture, pre in (("llama", "smollm"), ("qwen2", "qwen2")):
        built = write_model(target / f"{architecture}.gguf", architecture, pre)
        ids[architecture] = {text: built.encode(text).ids for text in TEXTS}
        logits[architecture] = logits_of(target / f"{architecture}.gguf")
    ids["sentencepiece"] = write_sentencepiece(target / "sentencepiece.gguf")
    (target / "ids.json").write_text(json.dumps(ids, ensure_ascii=False) + "\n", encoding="utf-8")
    np.savez_compressed(target / "logits.npz", tokens=np.array(TOKENS), **logits)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("gguf"))
