"""`python -m training.tones`: trains tones-whisper, which transcribes spoken or dialled digits."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional
from transformers import WhisperConfig, WhisperForConditionalGeneration

from training.mels import POSITIONS, SAMPLES_PER_POSITION, compute_mels, lay_out
from training.tones_folder import END, FOLDER, KEYS_BY_ID, NO_TIMESTAMPS, START, write
from training.tones_test import measure, record_examples, record_test
from training.utterances import LONGEST_S, MOST_KEYS, Utterance, say
from training.voices import RATE_HZ, TRAINED, Piece, record
from training.windows import Stretch, decode, encode

SEED = 7
N_TAKES, N_RUNS = 6, 6
QUIET = len(KEYS_BY_ID)  # the head's class where no key sounds
IGNORED = -100  # cross_entropy's own word for a place without a target
CONFIG = WhisperConfig(
    vocab_size=len(KEYS_BY_ID) + 3,
    d_model=64,
    encoder_layers=3,
    decoder_layers=2,
    encoder_attention_heads=4,
    decoder_attention_heads=4,
    encoder_ffn_dim=256,
    decoder_ffn_dim=256,
    max_source_positions=POSITIONS,
    max_target_positions=40,
    pad_token_id=END,
    bos_token_id=END,
    eos_token_id=END,
    decoder_start_token_id=START,
    suppress_tokens=None,
    begin_suppress_tokens=None,
)


@dataclass(frozen=True)
class Stage:
    """One stage of training: length of the stretch, steps, utterances per step, learning rate."""

    n_positions: int
    batch: int
    steps: int

    @property
    def longest_s(self) -> float:
        """The longest utterance, for a stretch with a little air; longer than LONGEST_S never."""
        return min(LONGEST_S, self.n_positions * SAMPLES_PER_POSITION / RATE_HZ - 0.2)


# Short stretches first, since they cost little and the digits are soon found in them; then the longest
# numbers; last the whole window, so that nothing rests on the approximation.
STAGES = (Stage(110, 32, 1800), Stage(320, 24, 1500), Stage(POSITIONS, 16, 250))
PEAK_RATE, WARM_UP = 3e-3, 0.05


@dataclass(frozen=True)
class Targets:
    """The encoder's training targets for each position, int64 [n, positions] both."""

    keys: Tensor
    """The key that sounds there: QUIET for none, IGNORED within a fluent run."""
    counts: Tensor
    """How many keys have begun by then: what the decoder needs to find the next one."""


class Learner(nn.Module):
    """The model and, for training only, two heads that teach the encoder which key sounds where, and the
    how-manieth it is."""

    def __init__(self) -> None:
        super().__init__()
        self.model = WhisperForConditionalGeneration(CONFIG)
        self.key_head = nn.Linear(CONFIG.d_model, QUIET + 1)
        self.count_head = nn.Linear(CONFIG.d_model, MOST_KEYS + 1)
        self.chance = torch.Generator().manual_seed(SEED)

    def loss(self, stretch: Stretch, targets: Targets, tokens: Tensor) -> Tensor:
        """Cross-entropy of the next token, and of both targets of the encoder."""
        states, bias = encode(self.model, stretch, self.chance)
        logits = decode(self.model, states, bias, tokens[:, :-1])
        heard = states[:, : stretch.n_positions]
        said = functional.cross_entropy(logits.transpose(1, 2), _mask(tokens[:, 1:]), label_smoothing=0.02)
        keys = functional.cross_entropy(self.key_head(heard).transpose(1, 2), targets.keys)
        return said + keys + functional.cross_entropy(self.count_head(heard).transpose(1, 2), targets.counts)


def tokenize(texts: list[str]) -> Tensor:
    """Start, no timestamps, the keys, end; padded with end: [n, longest + 3]."""
    rows = [[START, NO_TIMESTAMPS, *map(KEYS_BY_ID.index, text), END] for text in texts]
    longest = max(map(len, rows))
    return torch.tensor([row + [END] * (longest - len(row)) for row in rows])


def _mask(targets: Tensor) -> Tensor:
    """The targets, with everything after the first end ignored."""
    after_end = (targets == END).cumsum(dim=1) > 1
    return targets.masked_fill(after_end, IGNORED)


def lay_out_batch(
    utterances: list[Utterance], n_positions: int, chance: random.Random
) -> tuple[Stretch, Targets]:
    """Utterances in stretches that begin where in the window they may, half of them at its start."""
    spare = POSITIONS - n_positions
    first = [
        chance.choice((0, 0, chance.randint(0, spare // 8), chance.randint(0, spare))) for _ in utterances
    ]
    leads = [chance.randrange(RATE_HZ // 8) for _ in utterances]
    mels, silence = compute_mels(lay_out([one.wave for one in utterances], n_positions, leads))
    pairs = [mark(one, n_positions, lead) for one, lead in zip(utterances, leads, strict=True)]
    keys, counts = (torch.stack(rows) for rows in zip(*pairs, strict=True))
    return Stretch(mels, silence, torch.tensor(first)), Targets(keys, counts)


def mark(utterance: Utterance, n_positions: int, lead: int) -> tuple[Tensor, Tensor]:
    """One utterance's rows of Targets; the keys of a fluent run are taken to be of one length."""
    keys, counts, begun = torch.full((n_positions,), QUIET), torch.zeros(n_positions, dtype=torch.long), 0
    for text, *span in utterance.spans:
        start, end = ((lead + sample) // SAMPLES_PER_POSITION for sample in span)
        keys[start:end] = KEYS_BY_ID.index(text) if len(text) == 1 else IGNORED
        for index in range(len(text)):
            begun += 1
            counts[start + (end - start) * index // len(text) :] = begun
    return keys, counts


def train(takes: list[list[Piece]]) -> WhisperForConditionalGeneration:
    """A transcriber trained on endless utterances made of `takes`."""
    torch.manual_seed(SEED)
    chance, learner = random.Random(SEED), Learner().train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    steps = sum(stage.steps for stage in STAGES)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=WARM_UP)
    for stage in STAGES:
        for _ in track(range(stage.steps), f"tones-whisper, {stage.n_positions} positions"):
            loss = learner.loss(*make_batch(stage, takes, chance))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return learner.model.eval()


def make_batch(
    stage: Stage, takes: list[list[Piece]], chance: random.Random
) -> tuple[Stretch, Targets, Tensor]:
    """The utterances of one step: features, the encoder's targets, and tokens."""
    utterances = [say(takes, chance, stage.longest_s) for _ in range(stage.batch)]
    stretch, targets = lay_out_batch(utterances, stage.n_positions, chance)
    return stretch, targets, tokenize([one.text for one in utterances])


def main() -> None:
    """Record the voices, train, write, and print the accuracy on held-out voices."""
    torch.set_num_threads(1)
    started_s = time.monotonic()
    console = Console()
    write(train(record(TRAINED, N_TAKES, N_RUNS, SEED)), record_examples())
    for name, utterances in record_test().items():
        right = measure(FOLDER, utterances)
        console.print(f"{name}: {right:.1%} of {len(utterances)} held-out utterances without a mistake")
    console.print(f"trained in {time.monotonic() - started_s:.0f} s")


if __name__ == "__main__":
    main()
