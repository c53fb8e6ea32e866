"""`python -m training.digits_clap`: trains digits-clap, which compares digits that are heard with phrases."""

from __future__ import annotations

import random
import sys
import time

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional
from transformers import ClapConfig, ClapModel
from transformers.models.clap.modeling_clap import ClapOutput

from training.digit_phrases import FACTS, NAMES
from training.digit_sounds import EXTRACTOR, DigitSound, compute_features, draw_dialled, draw_spoken
from training.digits_clap_folder import CONTEXT, PhraseTokenizer, write
from training.sound_phrases import WAYS, describe_any, describe_fact, describe_sound, describe_way
from training.voices import HELD_OUT, TRAINED, Piece, record

SEED = 48
BATCH = 48
STEPS = 1500
PEAK_RATE = 1.5e-3
N_TAKES = 8
N_HELD_OUT = 400


def configure(tokenizer: PhraseTokenizer) -> ClapConfig:
    """A Swin of two stages and a RoBERTa of two layers, into a space of 64 dimensions."""
    return ClapConfig(
        text_config={
            "hidden_size": 64,
            "intermediate_size": 160,
            "num_attention_heads": 4,
            "num_hidden_layers": 2,
            "vocab_size": tokenizer.size,
            "max_position_embeddings": CONTEXT + tokenizer.pad + 1,
            "bos_token_id": tokenizer.start,
            "eos_token_id": tokenizer.end,
            "pad_token_id": tokenizer.pad,
            "projection_dim": 64,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        audio_config={
            "num_mel_bins": EXTRACTOR.feature_size,
            "spec_size": 128,
            "patch_size": 8,
            "patch_stride": [8, 8],
            "window_size": 8,
            "patch_embeds_hidden_size": 48,
            "hidden_size": 96,
            "depths": [2, 2],
            "num_hidden_layers": 2,
            "num_attention_heads": [3, 6],
            "mlp_ratio": 3.0,
            "drop_path_rate": 0.0,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "projection_dim": 64,
        },
        projection_dim=64,
        attn_implementation="eager",
    )


class PhraseLoss(nn.Module):
    """The loss of sounds against phrases: of digits, of digits in a way, of ways, and of facts.

    A head, dropped after training, tells the sound tower which of the twenty sounds it hears: from phrases
    alone it had learnt to tell voices from telephones and little more after 600 steps.
    """

    def __init__(self, model: ClapModel, tokenizer: PhraseTokenizer) -> None:
        super().__init__()
        self.model, self.head = model, nn.Linear(model.config.audio_config.hidden_size, 20)
        self._tokenizer, self._random = tokenizer, random.Random(SEED)

    def forward(self, sounds: list[DigitSound]) -> Tensor:
        """The mean cross-entropy over all choices."""
        digits = torch.tensor([sound.digit for sound in sounds])
        ways = torch.tensor([sound.way for sound in sounds])
        named = [describe_any(digit, self._random) for digit in range(10)]
        heard = [describe_way(digit, way, self._random) for way in (0, 1) for digit in range(10)]
        two = [describe_sound(way, self._random) for way in (0, 1)]
        sides = [describe_fact(fact, side, self._random) for fact in range(len(FACTS)) for side in (0, 1)]
        output = compare(self.model, self._tokenizer, sounds, [*named, *heard, *two, *sides])
        logits = output.logits_per_audio
        choices = [(0, 10, digits), (10, 30, 10 * ways + digits), (30, 32, ways)]
        for at, (_, _, holds) in enumerate(FACTS):
            truth = torch.tensor([0 if sound.digit in holds else 1 for sound in sounds])
            choices.append((32 + 2 * at, 34 + 2 * at, truth))
        losses = [
            functional.cross_entropy(logits[:, start:end], truth, label_smoothing=0.02)
            for start, end, truth in choices
        ]
        told = self.head(output.audio_model_output.pooler_output)
        return torch.stack([*losses, functional.cross_entropy(told, 10 * ways + digits)]).sum()


def compare(
    model: ClapModel, tokenizer: PhraseTokenizer, sounds: list[DigitSound], phrases: list[str]
) -> ClapOutput:
    """The model's outputs for phrases and sounds."""
    ids, mask = tokenizer.encode(phrases)
    features = compute_features([sound.wave for sound in sounds])
    return model(input_ids=ids, attention_mask=mask, input_features=features)


def draw(takes: list[list[Piece]], chance: random.Random) -> DigitSound:
    """A sound, two thirds of them spoken."""
    return draw_spoken(takes, chance) if chance.random() < 2 / 3 else draw_dialled(chance)


def train(takes: list[list[Piece]], tokenizer: PhraseTokenizer) -> ClapModel:
    """Both towers trained together on endless recordings of `takes` and random phrases."""
    torch.manual_seed(SEED)
    chance = random.Random(SEED)
    model = ClapModel(configure(tokenizer)).train()
    loss_of = PhraseLoss(model, tokenizer)
    optimizer = torch.optim.AdamW(loss_of.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=STEPS, pct_start=0.1)
    for _ in track(range(STEPS), "digits-clap"):
        loss = loss_of([draw(takes, chance) for _ in range(BATCH)])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for scale in (model.logit_scale_a, model.logit_scale_t):
                scale.clamp_(max=float(np.log(100)))
    return model.eval()


def measure(
    model: ClapModel, tokenizer: PhraseTokenizer, sounds: list[DigitSound], phrases: list[str]
) -> Tensor:
    """The phrase that fits each of the sounds best: [n]."""
    with torch.no_grad():
        return compare(model, tokenizer, sounds, phrases).logits_per_audio.argmax(dim=1)


def report(model: ClapModel, tokenizer: PhraseTokenizer, takes: list[list[Piece]]) -> None:
    """Print the accuracy on voices never trained on, and on dialled digits."""
    console, chance = Console(), random.Random(SEED + 1)
    spoken = [draw_spoken(takes, chance) for _ in range(N_HELD_OUT)]
    dialled = [draw_dialled(chance) for _ in range(N_HELD_OUT)]
    for name, sounds in {"spoken": spoken, "dialled": dialled}.items():
        digits = torch.tensor([sound.digit for sound in sounds])
        for template in ("{}", "This is a sound of {}.", "a noisy recording of the digit {}"):
            found = measure(model, tokenizer, sounds, [template.format(digit) for digit in NAMES])
            console.print(f"held out, {name}, {template!r}: {float((found == digits).float().mean()):.2%}")
    both = [*spoken, *dialled]
    found = measure(model, tokenizer, both, [WAYS[0][0], WAYS[1][0]])
    ways = torch.tensor([sound.way for sound in both])
    console.print(f"held out, voice or telephone: {float((found == ways).float().mean()):.2%}")
    for yes, no, holds in FACTS:
        found = measure(model, tokenizer, both, [f"the sound of {yes[0]}", f"the sound of {no[0]}"])
        truth = torch.tensor([0 if sound.digit in holds else 1 for sound in both])
        console.print(f"held out, {yes[0]!r}: {float((found == truth).float().mean()):.2%}")


def draw_examples(takes: list[list[Piece]]) -> dict[str, DigitSound]:
    """Two spoken digits of held-out voices and a dialled one."""
    chance = random.Random(SEED + 2)
    found: dict[str, DigitSound] = {}
    while len(found) < 3:
        sound = draw_spoken(takes, chance) if len(found) < 2 else draw_dialled(chance)
        if np.abs(sound.wave).max() > 0.3:
            found.setdefault(f"{('spoken', 'dialled')[sound.way]}-{sound.digit}", sound)
    return found


def main() -> None:
    """Train, write, print the accuracy on held-out voices; keep torch's weights in a folder, if named."""
    torch.set_num_threads(1)
    started_s = time.monotonic()
    tokenizer = PhraseTokenizer()
    model = train(record(TRAINED, N_TAKES, 0, SEED), tokenizer)
    if len(sys.argv) > 1:
        model.save_pretrained(sys.argv[1])
    held_out = record(HELD_OUT, 4, 0, SEED)
    write(model, tokenizer, draw_examples(held_out))
    report(model, tokenizer, held_out)
    Console().print(f"trained in {time.monotonic() - started_s:.0f} s")


if __name__ == "__main__":
    main()
