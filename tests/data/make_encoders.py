"""Writes encoders.tar.xz: tiny models of many types with random weights, and transformers' answers to them.

Run in the environment of training/requirements.txt:

    python tests/data/make_encoders.py

Each folder holds a model as optimum lays it out and `expected.json`: the embeddings of texts, the logits of an
image, or the logits of texts for an image.
"""

from __future__ import annotations

import io
import json
import lzma
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn

TARGET = Path(__file__).with_name("encoders.tar.xz")
TEXTS = ["hello world", "a b c d e f g h", "The quick, brown fox!", "x"]
LABELS = ["a cat", "two dogs", "x"]
WIDTHS = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
BERT, ROBERTA = ("[CLS]", "[PAD]", "[SEP]", "[UNK]"), ("<s>", "<pad>", "</s>", "<unk>")
IDS = {"bos_token_id": 0, "cls_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}


def make_tokenizer(folder: Path, special: tuple[str, ...]) -> Tokenizer:
    """Pieces of one letter; written with its configuration."""
    letters = "abcdefghijklmnopqrstuvwxyz,!."
    pieces = [*special, *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=special[3]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(special[0], 0), (special[2], 2)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special[0]} $A {special[2]}", special_tokens=ends
    )
    tokenizer.add_special_tokens(list(special))
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = dict(zip(("cls_token", "pad_token", "sep_token", "unk_token"), special, strict=True))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 32, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return tokenizer


class Part(nn.Module):
    """One output of a module, by its inputs' names."""

    def __init__(self, module: nn.Module, names: list[str], output: str) -> None:
        super().__init__()
        self.module, self.names, self.output = module, names, output

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The output."""
        return getattr(self.module(**dict(zip(self.names, inputs, strict=True))), self.output)


def export(part: Part, inputs: list[torch.Tensor], path: Path, output: str) -> None:
    """The part as an ONNX file with free batch and sequence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = {
        name: {0: "batch_size", **({1: "sequence_length"} if tensor.ndim == 2 else {})}
        for name, tensor in zip(part.names, inputs, strict=True)
    }
    with torch.no_grad():
        torch.onnx.export(
            part.eval(),
            tuple(inputs),
            str(path),
            input_names=part.names,
            output_names=[output],
            dynamic_axes=axes | {output: {0: "batch_size"}},
            opset_version=17,
            dynamo=False,
        )


def write(folder: Path, config: Any, architecture: str, expected: Any, **more: Any) -> None:
    """The model's JSON files."""
    told = config.to_dict() | {"architectures": [architecture]} | more
    (folder / "config.json").write_text(json.dumps(told, default=str))
    (folder / "expected.json").write_text(json.dumps(expected))


def make_text(folder: Path, config: Any, special: tuple[str, ...]) -> None:
    """An encoder of texts, and the normalised mean of its token vectors for each text alone."""
    tokenizer = make_tokenizer(folder, special)
    model = hf.AutoModel.from_config(config).eval()
    names = ["input_ids", "attention_mask"]
    embeddings = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            mean = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].mean(dim=0)
        embeddings.append((mean / mean.norm()).tolist())
    ids = torch.full((2, 9), 5)
    export(
        Part(model, names, "last_hidden_state"),
        [ids, torch.ones_like(ids)],
        folder / "onnx/model.onnx",
        "last_hidden_state",
    )
    write(folder, config, type(model).__name__, {"texts": TEXTS, "embeddings": embeddings})


def make_image(folder: Path, config: Any, processor: Any) -> None:
    """A classifier of images and its logits for one."""
    model = hf.AutoModelForImageClassification.from_config(config).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    pixels = processor(draw(), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        logits = model(pixels).logits[0].tolist()
    part = Part(model, ["pixel_values"], "logits")
    export(part, [pixels.repeat(2, 1, 1, 1)], folder / "onnx/model.onnx", "logits")
    (folder / "preprocessor_config.json").write_text(json.dumps(processor.to_dict(), default=str))
    write(folder, config, type(model).__name__, {"logits": logits})


def make_siglip(folder: Path) -> None:
    """A SigLIP, whose texts are padded to its 16 positions, and its logits of labels for an image."""
    tokenizer = make_tokenizer(folder, BERT)
    size = tokenizer.get_vocab_size()
    text = WIDTHS | IDS | {"vocab_size": size, "max_position_embeddings": 16, "projection_size": 8}
    config = hf.SiglipConfig(text_config=text, vision_config=WIDTHS | {"image_size": 32, "patch_size": 8})
    model = hf.SiglipModel(config).eval()
    model.logit_scale.data.fill_(2.0)
    model.logit_bias.data.fill_(-3.0)
    processor = hf.SiglipImageProcessor(size={"height": 32, "width": 32})
    pixels = processor(draw(), return_tensors="pt")["pixel_values"]
    rows = [tokenizer.encode(label).ids for label in LABELS]
    ids = torch.tensor([row + [1] * (16 - len(row)) for row in rows])
    with torch.no_grad():
        logits = model(input_ids=ids, pixel_values=pixels).logits_per_image[0].tolist()
    export(
        Part(model.vision_model, ["pixel_values"], "pooler_output"),
        [pixels.repeat(2, 1, 1, 1)],
        folder / "onnx/vision_model.onnx",
        "pooler_output",
    )
    export(
        Part(model.text_model, ["input_ids"], "pooler_output"),
        [ids],
        folder / "onnx/text_model.onnx",
        "pooler_output",
    )
    (folder / "preprocessor_config.json").write_text(json.dumps(processor.to_dict(), default=str))
    told = {"labels": LABELS, "logits": logits}
    write(folder, config, "SiglipModel", told, logit_scale=float(np.exp(2.0)), logit_bias=-3.0)


def draw() -> Image.Image:
    """An image that the tests make again."""
    rows, columns = np.mgrid[:48, :64]
    planes = [(3 * rows + 5 * columns) % 256, (rows * columns) % 256, (7 * columns) % 256]
    return Image.fromarray(np.stack(planes, axis=2).astype(np.uint8))


def make_all(home: Path) -> None:
    """Every model, in a folder of its own."""
    torch.manual_seed(0)
    size = len(BERT) + 2 * 29
    text = WIDTHS | {"vocab_size": size, "max_position_embeddings": 66, **IDS}
    plain = {key: value for key, value in text.items() if key != "type_vocab_size"}
    distil = {"dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16}
    distil |= {"vocab_size": size, "max_position_embeddings": 64, "pad_token_id": 1}
    modern = {"global_attn_every_n_layers": 2, "local_attention": 8, "reference_compile": False}
    make_text(home / "distilbert", hf.DistilBertConfig(**distil), BERT)
    make_text(home / "roberta", hf.RobertaConfig(**text, type_vocab_size=1), ROBERTA)
    make_text(home / "xlm-roberta", hf.XLMRobertaConfig(**text, type_vocab_size=1), ROBERTA)
    make_text(home / "mpnet", hf.MPNetConfig(**plain), ROBERTA)
    make_text(home / "modernbert", hf.ModernBertConfig(**text, **modern, attn_implementation="eager"), BERT)
    square = {"height": 32, "width": 32}
    convnext = {"image_size": 32, "hidden_sizes": [4, 8, 8, 8], "depths": [1, 1, 1, 1], "num_labels": 5}
    swin = {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2]}
    swin |= {"window_size": 4, "num_labels": 5}
    dinov2 = WIDTHS | {"image_size": 28, "patch_size": 14, "mlp_ratio": 2, "num_labels": 5}
    crop = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    make_image(home / "dinov2", hf.Dinov2Config(**dinov2), hf.BitImageProcessor(**crop))
    edge = hf.ConvNextImageProcessor(size={"shortest_edge": 32})
    make_image(home / "convnext", hf.ConvNextConfig(**convnext), edge)
    make_image(home / "swin", hf.SwinConfig(**swin), hf.ViTImageProcessor(size=square))
    efficient = {"image_size": 33, "width_coefficient": 0.25, "depth_coefficient": 0.2, "hidden_dim": 320}
    efficient |= {"kernel_sizes": [3, 3], "in_channels": [32, 16], "out_channels": [16, 24], "strides": [1, 2]}
    efficient |= {"num_block_repeats": [1, 1], "expand_ratios": [1, 6], "depthwise_padding": []}
    make_image(
        home / "efficientnet",
        hf.EfficientNetConfig(**efficient, num_labels=5),
        hf.EfficientNetImageProcessor(size={"height": 33, "width": 33}),
    )
    make_siglip(home / "siglip")


def main() -> None:
    """The folders as one archive."""
    with tempfile.TemporaryDirectory() as home, io.BytesIO() as buffer:
        make_all(Path(home))
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for path in sorted(Path(home).rglob("*")):
                if path.is_file():
                    content = path.read_bytes()
                    entry = tarfile.TarInfo(str(path.relative_to(home)))
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
        TARGET.write_bytes(lzma.compress(buffer.getvalue(), preset=9))


if __name__ == "__main__":
    main()
