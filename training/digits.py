"""`python -m training.digits`: trains digits-vit, a ViT that reads one hand-written digit, and writes it."""

from __future__ import annotations

import time

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from training.digit_images import SIDE, Digits, draw_plain, draw_varied, load_split
from training.graphs import write_graph
from training.manifests import BUILTIN, write_json, write_manifest

FOLDER = BUILTIN / "digits-vit"
SEED = 20
BATCH = 128
STEPS = 3000
PEAK_RATE = 2e-3
SOURCE = (
    "Trained by training/digits.py on scikit-learn's load_digits "
    "(UCI Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, CC BY 4.0)"
)
CONFIG = ViTConfig(
    hidden_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=160,
    image_size=SIDE,
    patch_size=4,
    num_channels=3,
    hidden_dropout_prob=0.05,
    attn_implementation="eager",
    id2label={digit: str(digit) for digit in range(10)},
    label2id={str(digit): digit for digit in range(10)},
)
PROCESSOR = ViTImageProcessor(size={"height": SIDE, "width": SIDE}, image_mean=[0.5] * 3, image_std=[0.5] * 3)


class Logits(torch.nn.Module):
    """The classifier as a graph with one input and one output."""

    def __init__(self, model: ViTForImageClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Logits [n, 10] of pixels [n, 3, 32, 32] in -1..1."""
        return self.model(pixel_values=pixel_values).logits


def train(digits: Digits) -> ViTForImageClassification:
    """A classifier trained on random variations of `digits`."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = ViTForImageClassification(CONFIG).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=STEPS, pct_start=0.1)
    for _ in track(range(STEPS), "digits-vit"):
        some = digits.pick(torch.randint(len(digits.labels), (BATCH,), generator=generator))
        logits = model(pixel_values=draw_varied(some.ink, generator)).logits
        loss = functional.cross_entropy(logits, some.labels, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def picture(ink: Tensor, side: int, dark_on_light: bool) -> Image.Image:
    """One digit [1, 8, 8] as an RGB image of side x side pixels, as a user would send it."""
    level = draw_plain(ink[None], side)[0, 0].numpy()
    shade = np.rint((1 - level if dark_on_light else level) * 255).astype(np.uint8)
    return Image.fromarray(shade).convert("RGB")


def measure(model: ViTForImageClassification, digits: Digits, side: int, dark_on_light: bool) -> float:
    """The share of `digits` recognised in images of that size, with the published preprocessing."""
    pictures = [picture(ink, side, dark_on_light) for ink in digits.ink]
    pixels = PROCESSOR(pictures, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        found = model(pixel_values=pixels).logits.argmax(dim=1)
    return float((found == digits.labels).float().mean())


def write_examples(digits: Digits) -> list[dict[str, object]]:
    """Write five held-out digits as PNG files of several sizes and both polarities; returns the examples."""
    rows = []
    for digit, side, dark in ((7, 8, False), (0, 32, True), (4, 64, False), (2, 100, True), (9, 280, True)):
        ink = digits.ink[digits.labels == digit][1]
        path = f"examples/{digit}.png"
        (FOLDER / "examples").mkdir(parents=True, exist_ok=True)
        picture(ink, side, dark).save(FOLDER / path, optimize=True)
        rows.append({"input": path, "expected": {"label": str(digit)}})
    return rows


def write_test_set(digits: Digits) -> None:
    """The held-out digits as one small file: `ink` uint8 [360, 8, 8] in 0..16 and `labels` uint8 [360]."""
    ink = (digits.ink[:, 0] * 16).round().to(torch.uint8).numpy()
    path = FOLDER / "examples" / "held_out.npz"
    np.savez_compressed(path, ink=ink, labels=digits.labels.to(torch.uint8).numpy())


def write(model: ViTForImageClassification, test: Digits) -> None:
    """The model's folder in transformers.js' layout."""
    write_json(
        FOLDER / "config.json",
        {"architectures": ["ViTForImageClassification"], **model.config.to_diff_dict()},
    )
    write_json(FOLDER / "preprocessor_config.json", PROCESSOR.to_dict())
    axes = {
        "pixel_values": {0: "batch_size", 1: "num_channels", 2: "height", 3: "width"},
        "logits": {0: "batch_size"},
    }
    pixels = torch.zeros(2, 3, SIDE, SIDE)
    write_graph(Logits(model), [pixels], FOLDER / "onnx/model.onnx", (["pixel_values"], ["logits"]), axes)
    examples = write_examples(test)
    write_test_set(test)
    write_manifest(FOLDER, family="vision", source=SOURCE, settings={}, examples=examples)


def main() -> None:
    """Train, write, and print the accuracy on the held-out digits."""
    torch.set_num_threads(1)
    started_s = time.monotonic()
    train_digits, test_digits = load_split()
    model = train(train_digits)
    write(model, test_digits)
    console = Console()
    for side, dark in ((8, False), (8, True), (32, True), (100, False), (280, True)):
        accuracy = measure(model, test_digits, side, dark)
        console.print(
            f"held out, {side} pixels, {'dark on light' if dark else 'light on dark'}: {accuracy:.2%}"
        )
    console.print(f"trained in {time.monotonic() - started_s:.0f} s")


if __name__ == "__main__":
    main()
