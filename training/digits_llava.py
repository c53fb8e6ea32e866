"""`python -m training.digits_llava CLIP FOLDER`: trains digits-llava, which is asked about digits."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPModel, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from training.digit_images import Digits, draw_varied, load_split
from training.digit_questions import ABOUT_ONE, ABOUT_TWO, Asking, ask_count
from training.digits import picture
from training.digits_clip_folder import PROCESSOR
from training.low_bit_weights import rounded_to

SEED = 17
IMAGE, USER, ASSISTANT, SYSTEM, END = SPECIAL = (
    "<image>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<|end|>",
)
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
VOCABULARY = 384
POSITIONS = 512
# Patches of 4 pixels in 32 x 32, and the class token that a CLIP compares by.
IMAGE_TOKENS = 65
STEPS, ROUNDED_FROM, BATCH, TURNS = 1600, 0.7, 40, 5
# What the rounded part of training rounds to, step by step; None leaves the weights as they are.
ROUNDINGS = (4, None)
PEAK_RATE, WARM_UP_STEPS = 3e-3, 60
IGNORED = -100  # cross_entropy's own word for a place without a target
N_PAIRS = 360


def train_tokenizer(rng: random.Random) -> Tokenizer:
    """Byte-level BPE over questions and answers, each digit a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = []
    for _ in range(5000):
        pair = [rng.randrange(10), rng.randrange(10)]
        questions = [ask(pair[:1], rng) for ask in ABOUT_ONE] + [ask(pair, rng) for ask in ABOUT_TWO]
        texts += [f"{question.text}\n{question.answer}" for question in questions]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@dataclass(frozen=True)
class Chat:
    """A chat about pictures as ids; `targets` are the answers' own, all else is ignored."""

    ids: list[int]
    targets: list[int]


def make_chat(tokenizer: Tokenizer, digits: Sequence[int], rng: random.Random) -> Chat:
    """Questions about pictures of `digits`; the second stands in a later turn now and then."""
    ids: list[int] = []
    targets: list[int] = []
    second = rng.randrange(1, TURNS) if len(digits) == 2 and rng.random() < 0.3 else 0
    for turn in range(TURNS):
        seen = digits if turn >= second else digits[:1]
        fresh = len(digits) if turn == second == 0 else int(turn in (0, second) and len(digits) > 0)
        kinds: Sequence[Asking] = (ask_count,) if not seen else ABOUT_ONE if len(seen) == 1 else ABOUT_TWO
        question = rng.choice(kinds)(seen, rng)
        pictures = IMAGE * (IMAGE_TOKENS * fresh)
        text = question.text + pictures if rng.random() < 0.1 else pictures + question.text
        asked = tokenizer.encode(f"{USER}{text}{END}{ASSISTANT}").ids
        answer = tokenizer.encode(question.answer + END).ids
        ids += asked + answer
        targets += [IGNORED] * len(asked) + answer
    return Chat(ids, targets)


class Batches:
    """Batches of chats about varied pictures of some digits."""

    def __init__(self, digits: Digits, tokenizer: Tokenizer, rng: random.Random) -> None:
        self._digits, self._tokenizer, self._rng = digits, tokenizer, rng
        self._generator = torch.Generator().manual_seed(SEED)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ids and targets, int64 [batch, tokens], and the pictures in their order, [n, 3, 32, 32]."""
        # Chats of a batch hold as many pictures each, so that they are of like lengths.
        n_images = self._rng.choices((0, 1, 2), (1, 45, 54))[0]
        rows = torch.randint(len(self._digits.labels), (BATCH * n_images,), generator=self._generator)
        some = self._digits.pick(rows)
        pixels = draw_varied(some.ink, self._generator) if n_images else torch.zeros(0, 3, 32, 32)
        labels = some.labels.reshape(BATCH, n_images).tolist()
        chats = [make_chat(self._tokenizer, digits, self._rng) for digits in labels]
        width = max(len(chat.ids) for chat in chats)
        ids, targets = torch.zeros(BATCH, width, dtype=torch.int64), torch.full((BATCH, width), IGNORED)
        ids += self._tokenizer.token_to_id(END)
        for row, chat in enumerate(chats):
            ids[row, : len(chat.ids)] = torch.tensor(chat.ids)
            targets[row, : len(chat.ids)] = torch.tensor(chat.targets)
        return ids, targets, pixels


def configure(tower: CLIPModel, tokenizer: Tokenizer) -> LlavaConfig:
    """The image tower of digits-clip, class token included, before a small LLaMA."""
    return LlavaConfig(
        vision_config=tower.config.vision_config,
        text_config=LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=3,
            num_key_value_heads=3,
            max_position_embeddings=POSITIONS,
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=tokenizer.token_to_id(END),
        ),
        image_token_index=tokenizer.token_to_id(IMAGE),
        image_seq_length=IMAGE_TOKENS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )


def rate_at(step: int) -> float:
    """A warm-up, then a line down to nothing."""
    if step < WARM_UP_STEPS:
        return PEAK_RATE * (step + 1) / WARM_UP_STEPS
    return PEAK_RATE * (STEPS - step) / (STEPS - WARM_UP_STEPS)


def decoder_of(model: LlavaForConditionalGeneration) -> nn.Module:
    """The parts that are packed in few bits."""
    return nn.ModuleDict({"layers": model.model.language_model, "head": model.lm_head})


def train(model: LlavaForConditionalGeneration, batches: Batches, console: Console) -> None:
    """Trains projector and decoder in place; the tower stays digits-clip's. The later part rounds weights."""
    model.model.vision_tower.requires_grad_(False)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, weight_decay=0.01, betas=(0.9, 0.98))
    shown = 0.0
    for step in track(range(STEPS), "digits-llava", console=console):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        ids, targets, pixels = batches.draw()
        bits = ROUNDINGS[step % len(ROUNDINGS)] if step >= ROUNDED_FROM * STEPS else None
        with rounded_to(decoder_of(model), bits):
            hidden = model.model(input_ids=ids, pixel_values=pixels if len(pixels) else None)
            wanted = targets[:, 1:] != IGNORED
            logits = model.lm_head(hidden.last_hidden_state[:, :-1][wanted])
            loss = functional.cross_entropy(logits, targets[:, 1:][wanted])
            optimizer.zero_grad()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        shown = 0.95 * shown + 0.05 * float(loss.detach())
        if step % 50 == 49:
            console.print(f"step {step + 1}: loss {shown:.4f}", highlight=False)


@torch.no_grad()
def answer(
    model: LlavaForConditionalGeneration, tokenizer: Tokenizer, pixels: Tensor, questions: Sequence[str]
) -> list[str]:
    """The greedy answer to each of `questions`; pixels are [questions, pictures each, 3, 32, 32]."""
    answers = []
    end = tokenizer.token_to_id(END)
    for shown, question in zip(pixels, questions, strict=True):
        prompt = f"{USER}{IMAGE * (IMAGE_TOKENS * len(shown))}{question}{END}{ASSISTANT}"
        ids = torch.tensor([tokenizer.encode(prompt).ids])
        made = model.generate(
            input_ids=ids,
            pixel_values=shown,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=24,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )[0, ids.shape[1] :]
        answers.append(tokenizer.decode(made.tolist()))
    return answers


def measure(model: LlavaForConditionalGeneration, tokenizer: Tokenizer, test: Digits) -> dict[str, float]:
    """The share of right answers about held-out pictures, by kind of question."""
    rng = random.Random(SEED + 1)
    pixels = PROCESSOR([picture(ink, 64, True) for ink in test.ink], return_tensors="pt")["pixel_values"]
    labels = test.labels.tolist()
    shares = {}
    for asks, n_images in ((ABOUT_ONE, 1), (dict.fromkeys(ABOUT_TWO), 2)):
        for ask in asks:
            picked = [rng.sample(range(len(labels)), n_images) for _ in range(N_PAIRS)]
            if n_images == 1:
                picked = [[at] for at in range(len(labels))]
            questions = [ask([labels[at] for at in row], rng) for row in picked]
            shown = torch.stack([pixels[row] for row in picked])
            given = answer(model, tokenizer, shown, [question.text for question in questions])
            right = [found == question.answer for found, question in zip(given, questions, strict=True)]
            shares[f"{questions[0].kind} ({n_images})"] = sum(right) / len(right)
    return shares


def write(model: LlavaForConditionalGeneration, tokenizer: Tokenizer, folder: Path) -> None:
    """A Hugging Face folder: safetensors, tokenizer, chat template, image processor."""
    model.save_pretrained(folder)
    PROCESSOR.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"eos_token": END, "pad_token": END, "image_token": IMAGE}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **special, "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    processor = {
        "processor_class": "LlavaProcessor",
        "image_token": IMAGE,
        "num_additional_image_tokens": 1,
        "patch_size": model.config.vision_config.patch_size,
        "vision_feature_select_strategy": model.config.vision_feature_select_strategy,
    }
    (folder / "processor_config.json").write_text(json.dumps(processor, indent=1) + "\n")


def main(clip: Path, folder: Path) -> None:
    """Trains, writes the Hugging Face folder, measures at each number of bits."""
    console, started_s = Console(), time.monotonic()
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    rng = random.Random(SEED)
    train_digits, test_digits = load_split()
    tokenizer, tower = train_tokenizer(rng), CLIPModel.from_pretrained(clip)
    model = LlavaForConditionalGeneration(configure(tower, tokenizer))
    model.model.vision_tower.load_state_dict(
        {f"vision_model.{name}": tensor for name, tensor in tower.vision_model.state_dict().items()}
    )
    console.print(f"{sum(p.numel() for p in model.parameters()):,} parameters", highlight=False)
    train(model, Batches(train_digits, tokenizer, rng), console)
    model.eval()
    write(model, tokenizer, folder)
    for bits in (None, 8, 4):
        with rounded_to(decoder_of(model), bits):
            console.print(f"bits {bits or 32}: {measure(model, tokenizer, test_digits)}", highlight=False)
    console.print(f"{time.monotonic() - started_s:.0f} s; written to {folder}", highlight=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
