"""digits-clip on disk: its tokenizer, its two graphs in transformers.js' layout, and its manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPModel

from training.digit_images import SIDE, Digits
from training.digit_phrases import every_phrase
from training.digits import picture
from training.graphs import TextTower, write_graph
from training.manifests import BUILTIN, write_json, write_manifest

FOLDER = BUILTIN / "digits-clip"
# A phrase of two dozen words; CLIP's own models take 77 tokens.
CONTEXT = 48
VOCABULARY = 700
START, END = "<|startoftext|>", "<|endoftext|>"
WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""
SOURCE = (
    "Trained by training/digits_clip.py on scikit-learn's load_digits "
    "(UCI Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, CC BY 4.0)"
)
PROCESSOR = CLIPImageProcessor(
    size={"shortest_edge": SIDE},
    crop_size={"height": SIDE, "width": SIDE},
    image_mean=[0.5] * 3,
    image_std=[0.5] * 3,
)


class PhraseTokenizer:
    """A tokenizer made as CLIP's is: pieces of lower-case words, the end of each marked."""

    def __init__(self) -> None:
        self.file = Tokenizer(BPE(end_of_word_suffix="</w>", continuing_subword_prefix="", unk_token=END))
        self.file.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        self.file.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(WORDS), "removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        trainer = BpeTrainer(
            vocab_size=VOCABULARY,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            end_of_word_suffix="</w>",
            show_progress=False,
        )
        self.file.train_from_iterator(every_phrase(), trainer)
        self.file.add_special_tokens([START, END])
        self.start, self.end = (self.file.token_to_id(token) for token in (START, END))
        self.size = self.file.get_vocab_size()
        self.file.post_processor = TemplateProcessing(
            single=f"{START} $A {END}", special_tokens=[(START, self.start), (END, self.end)]
        )
        # For a letter that no word of the training ends in, it looks up the unknown token in its table.
        plain = json.loads(self.file.to_str())
        plain["model"]["vocab"] |= {START: self.start, END: self.end}
        self.file = Tokenizer.from_str(json.dumps(plain))

    def encode(self, phrases: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Ids and mask, padded to the longest: int64 [n, tokens] each."""
        rows = [encoding.ids[:CONTEXT] for encoding in self.file.encode_batch(list(phrases))]
        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.end)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = torch.tensor(row)
            mask[at, : len(row)] = 1
        return ids, mask


class ImageTower(nn.Module):
    """The embedding of images as a graph: what `get_image_features` gives."""

    def __init__(self, model: CLIPModel) -> None:
        super().__init__()
        self.tower, self.projection = model.vision_model, model.visual_projection

    def forward(self, pixel_values: Tensor) -> Tensor:
        """[n, 64] of pixels [n, 3, 32, 32] in -1..1."""
        return self.projection(self.tower(pixel_values=pixel_values).pooler_output)


def write(model: CLIPModel, tokenizer: PhraseTokenizer, test: Digits) -> None:
    """The model's folder in transformers.js' layout."""
    config = {"architectures": ["CLIPModel"], **model.config.to_dict(), "logit_scale": _scale(model)}
    write_json(FOLDER / "config.json", config)
    write_json(FOLDER / "preprocessor_config.json", PROCESSOR.to_dict())
    tokenizer.file.save(str(FOLDER / "tokenizer.json"))
    write_json(
        FOLDER / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": CONTEXT,
            "bos_token": START,
            "eos_token": END,
            "pad_token": END,
            "unk_token": END,
        },
    )
    _write_graphs(model, tokenizer)
    write_manifest(
        FOLDER,
        family="clip",
        source=SOURCE,
        settings={"logit_scale": _scale(model), "logit_bias": 0.0},
        examples=_write_examples(model, test),
    )


def _scale(model: CLIPModel) -> float:
    return float(model.logit_scale.detach().exp())


def _write_graphs(model: CLIPModel, tokenizer: PhraseTokenizer) -> None:
    pixels = torch.zeros(2, 3, SIDE, SIDE)
    images = ({"pixel_values": {0: "batch_size"}, "image_embeds": {0: "batch_size"}},)
    write_graph(
        ImageTower(model),
        [pixels],
        FOLDER / "onnx/vision_model.onnx",
        (["pixel_values"], ["image_embeds"]),
        *images,
    )
    ids, mask = tokenizer.encode(["a photo of a seven.", "nine"])
    tokens = {0: "batch_size", 1: "sequence_length"}
    write_graph(
        TextTower(model),
        [ids, mask],
        FOLDER / "onnx/text_model.onnx",
        (["input_ids", "attention_mask"], ["text_embeds"]),
        {"input_ids": tokens, "attention_mask": tokens, "text_embeds": {0: "batch_size"}},
    )


def _write_examples(model: CLIPModel, digits: Digits) -> list[dict[str, object]]:
    """Three held-out digits as PNG files, and what `get_image_features` gives them."""
    rows: list[dict[str, object]] = []
    pictures = []
    (FOLDER / "examples").mkdir(parents=True, exist_ok=True)
    for digit, side in ((3, 32), (8, 64), (5, 100)):
        ink = digits.ink[digits.labels == digit][2]
        path = f"examples/{digit}.png"
        pictures.append(picture(ink, side, True))
        pictures[-1].save(FOLDER / path, optimize=True)
        rows.append({"input": path, "expected": {"embedding": "examples/embeddings.npy", "row": len(rows)}})
    pixels = PROCESSOR(pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        embeddings = model.get_image_features(pixel_values=pixels).numpy()
    np.save(FOLDER / "examples/embeddings.npy", embeddings)
    return rows
