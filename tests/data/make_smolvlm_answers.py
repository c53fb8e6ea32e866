"""Writes tests/data/smolvlm: a tiny Idefics3 of random weights as SmolVLM is published, and its answers.

Run once, in the environment of `training/requirements.txt`, with Pillow below 13, whose resizing trained the models:

    PYTHONPATH=. python tests/data/make_smolvlm_answers.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    PreTrainedTokenizerFast,
)

from tests.stand_ins.smolvlm import EDGE, FOLDER, TOKENS_PER_TILE, draw
from training.digits_llava_folder import CachedDecoder
from training.graphs import write_graph

NEW_TOKENS = 12
START, END, STOP, AROUND, WHOLE, IMAGE = (
    *("<|im_start|>", "<|im_end|>", "<end_of_utterance>", "<fake_token_around_image>", "<global-img>"),
    "<image>",
)
# As SmolVLM has it, in chat_template.json.
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Between the likeliest two tokens: another engine's rounding is a hundred times less.
MIN_MARGIN = 2e-3
# Heights and widths: wide, tall, square, smaller than a tile, thin.
CHATS: list[tuple[list[tuple[int, int]], str]] = [
    ([(48, 64)], "Can you describe this image?"),
    ([(64, 40)], "Can you describe this image?"),
    ([(33, 33)], "What is it?"),
    ([(9, 7)], "What is it?"),
    ([(5, 90)], "How long?"),
    ([(20, 30), (30, 20)], "Which is larger?"),
    ([], "Hello"),
]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, two line ends in one token as GPT-2's have it, and SmolVLM's own tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([END, START, *alphabet, "ĊĊ"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ċ", "Ċ")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
    special = [WHOLE, *tiles, AROUND, IMAGE, STOP, START, END]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=STOP,
        pad_token=END,
        additional_special_tokens=[AROUND, IMAGE, STOP],
    )


def configure(tokenizer: PreTrainedTokenizerFast) -> Idefics3Config:
    """SmolVLM-256M in small; the keys of the decoder that transformers does not know are its own."""
    text = {
        "model_type": "llama",
        "architectures": ["VLlama3ForCausalLM"],
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "vocab_size": len(tokenizer),
        "rms_norm_eps": 1e-5,
        "rope_theta": 100_000,
        "rope_interleaved": False,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "initializer_range": 0.25,
        **{"_flash_attn_2_enabled": True, "is_llama_config": True, "neftune_noise_alpha": 0.0},
        **{"pixel_shuffle_factor": 2, "qk_layer_norms": False, "use_resampler": False},
        "perceiver_config": {"model_type": "vllama3", "resampler_depth": 6},
    }
    vision = {
        **{"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2},
        **{"image_size": EDGE, "patch_size": 4, "initializer_range": 0.3},
        **{"max_image_size": {"longest_edge": EDGE}, "size": {"longest_edge": 2 * EDGE}},
        "use_base_siglip": False,
    }
    return Idefics3Config(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        scale_factor=2,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
    )


class TileEncoder(nn.Module):
    """The tokens of tiles: patches, tower, and connector, as `get_image_features` joins them."""

    def __init__(self, model: Idefics3ForConditionalGeneration) -> None:
        super().__init__()
        self.model = model.model
        # Each tile is whole, so what is added for the places of its patches is the same for any other.
        embeddings, black = model.model.vision_model.embeddings, torch.zeros(1, 3, EDGE, EDGE)
        whole = torch.ones(1, EDGE // 4, EDGE // 4, dtype=torch.bool)
        self.places = embeddings(black, whole) - embeddings.patch_embedding(black).flatten(2).transpose(1, 2)

    def forward(self, pixel_values: Tensor, pixel_attention_mask: Tensor) -> Tensor:
        """[tiles, tokens, width] of pixels [1, tiles, 3, edge, edge] and mask [1, tiles, edge, edge]."""
        tower, pixels = self.model.vision_model, pixel_values.flatten(0, 1)
        is_real = (pixels != 0).flatten(1).any(dim=1)
        pixels, mask = pixels[is_real], pixel_attention_mask.flatten(0, 1)[is_real]
        patches = mask.float().reshape(-1, EDGE // 4, 4, EDGE // 4, 4).amax(dim=(2, 4)).flatten(1)
        hidden = tower.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
        hidden = hidden + self.places
        shut = (1 - patches)[:, None, None] * torch.finfo(torch.float32).min
        hidden = tower.encoder(inputs_embeds=hidden, attention_mask=shut).last_hidden_state
        return self.model.connector(tower.post_layernorm(hidden))


@torch.no_grad()
def write_graphs(model: Idefics3ForConditionalGeneration) -> None:
    """The three graphs of transformers.js' layout."""
    text, tiles = model.config.text_config, {0: "batch_size", 1: "num_images"}
    write_graph(
        TileEncoder(model),
        [torch.randn(1, 3, 3, EDGE, EDGE), torch.ones(1, 3, EDGE, EDGE, dtype=torch.bool)],
        FOLDER / "onnx/vision_encoder.onnx",
        (["pixel_values", "pixel_attention_mask"], ["image_features"]),
        {"pixel_values": tiles, "pixel_attention_mask": tiles, "image_features": {0: "num_tiles"}},
    )
    tokens = {0: "batch_size", 1: "sequence_length"}
    write_graph(
        model.get_input_embeddings(),
        [torch.tensor([[1, 2, 3]])],
        FOLDER / "onnx/embed_tokens.onnx",
        (["input_ids"], ["inputs_embeds"]),
        {"input_ids": tokens, "inputs_embeds": tokens},
    )
    ends = [f"{layer}.{side}" for layer in range(text.num_hidden_layers) for side in ("key", "value")]
    past, present = [f"past_key_values.{end}" for end in ends], [f"present.{end}" for end in ends]
    axes: dict[str, dict[int, str]] = dict.fromkeys(("inputs_embeds", "position_ids", "logits"), tokens)
    axes["attention_mask"] = {0: "batch_size", 1: "total_sequence_length"}
    axes |= {name: {0: "batch_size", 2: "past_sequence_length"} for name in past}
    axes |= {name: {0: "batch_size", 2: "total_sequence_length"} for name in present}
    write_graph(
        CachedDecoder(Decoder(model)),
        [
            torch.randn(1, 3, text.hidden_size),
            torch.ones(1, 5, dtype=torch.int64),
            torch.tensor([[2, 3, 4]]),
            *[torch.randn(1, text.num_key_value_heads, 2, text.head_dim) for _ in past],
        ],
        FOLDER / "onnx/decoder_model_merged.onnx",
        (["inputs_embeds", "attention_mask", "position_ids", *past], ["logits", *present]),
        axes,
    )


class Decoder:
    """The decoder under the names that LLaVA has for it."""

    def __init__(self, model: Idefics3ForConditionalGeneration) -> None:
        self.lm_head = model.lm_head
        self.model = type("Model", (), {"language_model": model.model.text_model})


def write_files(processor: Idefics3Processor, model: Idefics3ForConditionalGeneration) -> None:
    """The small files and the weights, as SmolVLM's repository has them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(FOLDER)
    model.config.save_pretrained(FOLDER)
    model.generation_config.save_pretrained(FOLDER)
    processor.image_processor.save_pretrained(FOLDER)
    processor.tokenizer.save_pretrained(FOLDER)
    (FOLDER / "special_tokens_map.json").unlink(missing_ok=True)
    sizes = {"image_seq_len": TOKENS_PER_TILE, "processor_class": "Idefics3Processor"}
    (FOLDER / "processor_config.json").write_text(json.dumps(sizes, indent=2) + "\n")
    (FOLDER / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}, indent=2) + "\n")


@torch.no_grad()
def answer(
    processor: Idefics3Processor,
    model: Idefics3ForConditionalGeneration,
    sizes: Sequence[tuple[int, int]],
    text: str,
    splits: bool,
) -> dict[str, Any]:
    """One chat: the prompt's tokens, and greedy ones."""
    content = [*({"type": "image"} for _ in sizes), {"type": "text", "text": text}]
    messages = [{"role": "user", "content": content}]
    prompt = processor.apply_chat_template(messages, add_generation_prompt=True)
    processor.image_processor.do_image_splitting = splits
    images = [Image.fromarray(draw(*size)) for size in sizes] or None
    given = processor(text=prompt, images=images, return_tensors="pt")
    given.pop("token_type_ids", None)
    made = model.generate(
        **given,
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )
    best = torch.cat(made.scores).topk(2).values
    margin = float((best[:, 0] - best[:, 1]).min())
    n = given["input_ids"].shape[1]
    return {
        "margin": margin,
        "images": list(sizes),
        "messages": messages,
        "splits": splits,
        "ids": given["input_ids"][0].tolist(),
        "n_tiles": given["pixel_values"].shape[1] if sizes else 0,
        "tokens": made.sequences[0, n:].tolist(),
        "text": processor.tokenizer.decode(made.sequences[0, n:], skip_special_tokens=True),
    }


def main() -> None:
    """Writes the folder and the answers of the first model whose answers are sure, and tell images apart."""
    tokenizer = make_tokenizer()
    pixels = Idefics3ImageProcessor(
        size={"longest_edge": 2 * EDGE}, max_image_size={"longest_edge": EDGE}, do_image_splitting=True
    )
    processor = Idefics3Processor(pixels, tokenizer, image_seq_len=TOKENS_PER_TILE, chat_template=TEMPLATE)
    for seed in count():
        torch.manual_seed(seed)
        config = configure(tokenizer)
        model = Idefics3ForConditionalGeneration._from_config(config, attn_implementation="eager").eval()
        model.generation_config.eos_token_id = tokenizer.eos_token_id
        model.generation_config.pad_token_id = tokenizer.pad_token_id
        rows = [answer(processor, model, *chat, splits) for splits in (True, False) for chat in CHATS]
        # One about no image has the same answer twice.
        differ = len({str(row["tokens"]) for row in rows}) == len(rows) - 1
        print(seed, differ, min(row["margin"] for row in rows))
        if differ and min(row.pop("margin") for row in rows) > MIN_MARGIN:
            break
    processor.image_processor.do_image_splitting = True
    write_files(processor, model)
    write_graphs(model)
    (FOLDER / "answers.json").write_text(json.dumps(rows, separators=(",", ":"), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
