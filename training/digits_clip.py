"""`python -m training.digits_clip`: trains digits-clip, which compares written digits with phrases."""

from __future__ import annotations

import sys
import time
from random import Random

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel

from training.digit_images import SIDE, Digits, draw_varied, load_split
from training.digit_phrases import FACTS, NAMES, describe_digit, describe_fact
from training.digits import picture
from training.digits_clip_folder import CONTEXT, PROCESSOR, PhraseTokenizer, write

SEED = 31
BATCH = 128
STEPS = 2500
PEAK_RATE = 2e-3


def configure(tokenizer: PhraseTokenizer) -> CLIPConfig:
    """Two small towers into a space of 64 dimensions."""
    tower = {"hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4, "hidden_act": "gelu"}
    return CLIPConfig(
        text_config={
            **tower,
            "num_hidden_layers": 2,
            "vocab_size": tokenizer.size,
            "max_position_embeddings": CONTEXT,
            "bos_token_id": tokenizer.start,
            "eos_token_id": tokenizer.end,
            "pad_token_id": tokenizer.end,
        },
        vision_config={**tower, "num_hidden_layers": 3, "image_size": SIDE, "patch_size": 4},
        projection_dim=64,
        attn_implementation="eager",
    )


class PhraseLoss:
    """The loss of images against phrases: ten that name the digits, and two for each fact."""

    def __init__(self, model: CLIPModel, tokenizer: PhraseTokenizer) -> None:
        self._model, self._tokenizer, self._random = model, tokenizer, Random(SEED)

    def __call__(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """The mean cross-entropy over all choices."""
        names = [describe_digit(digit, self._random) for digit in range(10)]
        sides = [describe_fact(fact, side, self._random) for fact in range(len(FACTS)) for side in (0, 1)]
        ids, mask = self._tokenizer.encode([*names, *sides])
        logits = self._model(input_ids=ids, attention_mask=mask, pixel_values=pixels).logits_per_image
        loss = functional.cross_entropy(logits[:, :10], labels, label_smoothing=0.02)
        for at, (_, _, holds) in enumerate(FACTS):
            pair = logits[:, 10 + 2 * at : 12 + 2 * at]
            truth = torch.tensor([0 if int(label) in holds else 1 for label in labels])
            loss = loss + functional.cross_entropy(pair, truth, label_smoothing=0.02) / len(FACTS)
        return loss


def train(digits: Digits, tokenizer: PhraseTokenizer) -> CLIPModel:
    """Both towers trained together on random variations of `digits` and random phrases."""
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    model = CLIPModel(configure(tokenizer)).train()
    loss_of = PhraseLoss(model, tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=STEPS, pct_start=0.1)
    for _ in track(range(STEPS), "digits-clip"):
        some = digits.pick(torch.randint(len(digits.labels), (BATCH,), generator=generator))
        loss = loss_of(draw_varied(some.ink, generator), some.labels)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=float(np.log(100)))
    return model.eval()


def measure(model: CLIPModel, tokenizer: PhraseTokenizer, digits: Digits, phrases: list[str]) -> Tensor:
    """The phrase that each of the held-out digits fits best: [n]."""
    pixels = PROCESSOR([picture(ink, 64, True) for ink in digits.ink], return_tensors="pt")["pixel_values"]
    ids, mask = tokenizer.encode(phrases)
    with torch.no_grad():
        return model(input_ids=ids, attention_mask=mask, pixel_values=pixels).logits_per_image.argmax(dim=1)


def main() -> None:
    """Train, write, print the accuracy on held-out digits; keep torch's weights in a folder, if named."""
    torch.set_num_threads(1)
    started_s = time.monotonic()
    train_digits, test_digits = load_split()
    tokenizer = PhraseTokenizer()
    model = train(train_digits, tokenizer)
    if len(sys.argv) > 1:
        model.save_pretrained(sys.argv[1])
    write(model, tokenizer, test_digits)
    console = Console()
    for template in ("{}", "This is a photo of {}.", "a child's drawing of a {}"):
        found = measure(model, tokenizer, test_digits, [template.format(name) for name in NAMES])
        console.print(f"held out, {template!r}: {float((found == test_digits.labels).float().mean()):.2%}")
    for yes, no, holds in FACTS:
        found = measure(model, tokenizer, test_digits, [f"a photo of {yes[0]}.", f"a photo of {no[0]}."])
        truth = torch.tensor([0 if int(label) in holds else 1 for label in test_digits.labels])
        console.print(f"held out, {yes[0]!r}: {float((found == truth).float().mean()):.2%}")
    console.print(f"trained in {time.monotonic() - started_s:.0f} s")


if __name__ == "__main__":
    main()
