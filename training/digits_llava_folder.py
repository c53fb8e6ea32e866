"""`python -m training.digits_llava_folder TRAINED`: the built-in model's folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    CLIPImageProcessor,
    DynamicCache,
    LlamaForCausalLM,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from browser_runtime.low_bits.reading.sources import open_source
from training.digit_images import SIDE, Digits, load_split
from training.digits import picture
from training.graphs import write_graph
from training.manifests import BUILTIN, write_manifest
from training.numbers_folder import write_precision

FOLDER = BUILTIN / "digits-llava"
PRECISIONS = {"4bit": 4}
COMPANIONS = (
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer_config.json"),
)
# Digits in the pictures of an example, and what is asked about them.
EXAMPLES = (
    ((7,), "Which digit is this?"),
    ((4,), "Is it larger than five?"),
    ((6,), "Describe the picture."),
    ((3, 9), "Which is larger?"),
)
SOURCE = (
    "Trained by training/digits_llava.py, with the image tower of digits-clip, on scikit-learn's load_digits "
    "(UCI Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, CC BY 4.0)"
)


class ImageEncoder(nn.Module):
    """The tokens of images: tower and projector."""

    def __init__(self, model: LlavaForConditionalGeneration) -> None:
        super().__init__()
        self.model = model.model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[n, tokens, width] of pixels [n, 3, height, width]."""
        states = self.model.vision_tower(pixel_values, output_hidden_states=True).hidden_states
        return self.model.multi_modal_projector(states[self.model.config.vision_feature_layer])


class CachedDecoder(nn.Module):
    """The decoder, whose keys and values come in and go out one by one."""

    def __init__(self, model: LlavaForConditionalGeneration) -> None:
        super().__init__()
        self.layers, self.head = model.model.language_model, model.lm_head

    def forward(
        self, inputs_embeds: Tensor, attention_mask: Tensor, position_ids: Tensor, *past: Tensor
    ) -> Any:
        """Logits, and every layer's keys and values."""
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        seen = torch.arange(attention_mask.shape[1])[None, None, None] <= position_ids[:, None, :, None]
        allowed = seen & (attention_mask[:, None, None] > 0)
        mask = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)
        found = self.layers(
            inputs_embeds=inputs_embeds, attention_mask=mask, position_ids=position_ids, past_key_values=cache
        )
        sides = [side for layer in cache.layers for side in (layer.keys, layer.values)]
        return self.head(found.last_hidden_state), *sides


def write_graphs(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """The three graphs of transformers.js' layout."""
    text = model.config.text_config
    write_graph(
        ImageEncoder(model),
        [torch.zeros(2, 3, SIDE, SIDE)],
        folder / "vision_encoder.onnx",
        (["pixel_values"], ["image_features"]),
        {"pixel_values": {0: "batch_size"}, "image_features": {0: "batch_size"}},
    )
    tokens = {0: "batch_size", 1: "sequence_length"}
    write_graph(
        model.get_input_embeddings(),
        [torch.tensor([[1, 2, 3]])],
        folder / "embed_tokens.onnx",
        (["input_ids"], ["inputs_embeds"]),
        {"input_ids": tokens, "inputs_embeds": tokens},
    )
    ends = [f"{layer}.{side}" for layer in range(text.num_hidden_layers) for side in ("key", "value")]
    past, present = [f"past_key_values.{end}" for end in ends], [f"present.{end}" for end in ends]
    cache = [torch.randn(1, text.num_key_value_heads, 2, text.head_dim) for _ in past]
    axes = dict.fromkeys(("inputs_embeds", "position_ids", "logits"), tokens)
    axes["attention_mask"] = {0: "batch_size", 1: "total_sequence_length"}
    axes |= {name: {0: "batch_size", 2: "past_sequence_length"} for name in past}
    axes |= {name: {0: "batch_size", 2: "total_sequence_length"} for name in present}
    write_graph(
        CachedDecoder(model),
        [
            torch.randn(1, 3, text.hidden_size),
            torch.ones(1, 5, dtype=torch.int64),
            torch.tensor([[2, 3, 4]]),
            *cache,
        ],
        folder / "decoder_model_merged.onnx",
        (["inputs_embeds", "attention_mask", "position_ids", *past], ["logits", *present]),
        axes,
    )


def write_packed(model: LlavaForConditionalGeneration, folder: Path) -> dict[str, list[str]]:
    """The decoder in few bits; the shards of each index."""
    decoder = LlamaForCausalLM(model.config.text_config)
    decoder.model.load_state_dict(model.model.language_model.state_dict())
    decoder.lm_head.load_state_dict(model.lm_head.state_dict())
    weights = {}
    with TemporaryDirectory() as scratch:
        decoder.save_pretrained(scratch)
        shutil.copyfile(folder / "tokenizer.json", Path(scratch) / "tokenizer.json")
        source = open_source(Path(scratch))
        for precision, bits in PRECISIONS.items():
            index, *shards = write_precision(source, folder / precision, bits)
            weights[f"{precision}/{index}"] = [f"{precision}/{shard}" for shard in shards]
    return weights


def open_processor(trained: Path) -> LlavaProcessor:
    """transformers' own processor of the model."""
    tokenizer = AutoTokenizer.from_pretrained(trained)
    return LlavaProcessor.from_pretrained(
        trained,
        image_processor=CLIPImageProcessor.from_pretrained(trained),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )


def chat_about(n_pictures: int, question: str) -> list[dict[str, Any]]:
    """One question behind its pictures."""
    pictures = [{"type": "image"}] * n_pictures
    return [{"role": "user", "content": [*pictures, {"type": "text", "text": question}]}]


@torch.no_grad()
def write_examples(
    model: LlavaForConditionalGeneration, trained: Path, test: Digits
) -> list[dict[str, object]]:
    """Held-out digits as PNG files, and what transformers answers about them."""
    processor = open_processor(trained)
    (FOLDER / "examples").mkdir(parents=True)
    rows: list[dict[str, object]] = []
    for number, (digits, question) in enumerate(EXAMPLES):
        shown: list[Image.Image] = []
        paths = []
        for digit in digits:
            shown.append(picture(test.ink[test.labels == digit][number], 64, True))
            paths.append(f"examples/{digit}.png")
            shown[-1].save(FOLDER / paths[-1], optimize=True)
        prompt = processor.apply_chat_template(chat_about(len(digits), question), add_generation_prompt=True)
        given = processor(images=shown, text=prompt, return_tensors="pt")
        given.pop("token_type_ids", None)
        made = model.generate(**given, max_new_tokens=32, do_sample=False, pad_token_id=0)
        tokens = made[0, given["input_ids"].shape[1] :].tolist()
        text = processor.tokenizer.decode(tokens, skip_special_tokens=True)
        rows.append(
            {"input": {"images": paths, "text": question}, "expected": {"text": text, "tokens": tokens}}
        )
    return rows


def write(trained: Path) -> None:
    """The built-in model's folder, of the trained Hugging Face folder."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    model = LlavaForConditionalGeneration.from_pretrained(trained, attn_implementation="eager").eval()
    for name in COMPANIONS:
        shutil.copyfile(trained / name, FOLDER / name)
    write_graphs(model, FOLDER / "onnx")
    weights = write_packed(model, FOLDER)
    _, test = load_split()
    examples = write_examples(model, trained, test)
    write_manifest(FOLDER, family="llava", source=SOURCE, settings={}, examples=examples, weights=weights)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
