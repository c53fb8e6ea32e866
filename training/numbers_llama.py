"""`python -m training.numbers_llama`: trains numbers-llama, which reads, writes and adds numbers."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from transformers import LlamaConfig, LlamaForCausalLM

from training.low_bit_weights import rounded_to
from training.number_words import KINDS, SYSTEM_PROMPTS, Question, ask

SEED = 11
USER, ASSISTANT, SYSTEM, END = SPECIAL = ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
VOCABULARY = 384
POSITIONS = 256
STEPS, ROUNDED_FROM, BATCH = 10_000, 0.6, 256
BATCHES_AT_ONCE = 8
N_MAKERS = 5  # processes that make batches beside a GPU, which would wait for one
# What the rounded part of training rounds to, step by step; None leaves the weights as they are.
ROUNDINGS = (2, None, 2, 3, 2, 4)
PEAK_RATE, WARM_UP_STEPS, WEIGHT_DECAY = 2e-3, 200, 0.1
IGNORED = -100  # cross_entropy's own word for a place without a target
N_TEST = 200


def train_tokenizer(rng: random.Random) -> Tokenizer:
    """Byte-level BPE over questions and answers, each digit a token of its own."""
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    questions = (ask(rng, held_out=False) for _ in range(20_000))
    tokenizer.train_from_iterator((f"{q.text}\n{q.answer}" for q in questions), trainer)
    return tokenizer


def to_prompt(question: Question, system: str = "") -> str:
    """The prompt as the chat template makes it."""
    before = f"{SYSTEM}{system}{END}" if system else ""
    return f"{before}{USER}{question.text}{END}{ASSISTANT}"


class Batches(IterableDataset[tuple[Tensor, Tensor]]):
    """Ids and targets, int64 [batch, tokens], of like lengths in a batch: the answers alone are targets."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        maker = get_worker_info()
        rng = random.Random(SEED + 1000 * (maker.id + 1 if maker else 0))
        while True:
            rows = [self._draw(rng) for _ in range(BATCH * BATCHES_AT_ONCE)]
            rows.sort(key=lambda row: len(row[0]) + len(row[1]))
            batches = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
            rng.shuffle(batches)
            yield from map(lay_out, batches)

    def _draw(self, rng: random.Random) -> tuple[list[int], list[int]]:
        question = ask(rng, held_out=False)
        system = rng.choice(SYSTEM_PROMPTS) if rng.random() < 0.2 else ""
        prompt = self._tokenizer.encode(to_prompt(question, system)).ids
        return prompt, self._tokenizer.encode(question.answer + END).ids


def lay_out(rows: list[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
    """Prompts and answers as one batch, filled up at the end."""
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.int64)
    targets = torch.full((len(rows), width), IGNORED)
    for number, (prompt, answer) in enumerate(rows):
        ids[number, : len(prompt) + len(answer)] = torch.tensor(prompt + answer)
        targets[number, len(prompt) : len(prompt) + len(answer)] = torch.tensor(answer)
    return ids, targets


def rate_at(step: int) -> float:
    """A warm-up, then a line down to nothing."""
    if step < WARM_UP_STEPS:
        return PEAK_RATE * (step + 1) / WARM_UP_STEPS
    return PEAK_RATE * (STEPS - step) / (STEPS - WARM_UP_STEPS)


def train(model: LlamaForCausalLM, tokenizer: Tokenizer, console: Console) -> None:
    """Trains in place; the later part with rounded weights."""
    on_gpu = model.device.type == "cuda"
    optimizer = torch.optim.AdamW(
        model.parameters(), weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98), fused=on_gpu
    )
    makers = N_MAKERS if on_gpu else 0
    batches = iter(DataLoader(Batches(tokenizer), batch_size=None, num_workers=makers, pin_memory=on_gpu))
    shown = torch.zeros((), device=model.device)
    for step in track(range(STEPS), "training", console=console):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        ids, targets = (part.to(model.device, non_blocking=True) for part in next(batches))
        bits = ROUNDINGS[step % len(ROUNDINGS)] if step >= ROUNDED_FROM * STEPS else None
        with rounded_to(model, bits):
            logits = model(input_ids=ids).logits[:, :-1]
            loss = functional.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        shown = 0.95 * shown + 0.05 * loss.detach()
        if step % 100 == 99:
            console.print(f"step {step + 1}: loss {float(shown):.4f}", highlight=False)


@torch.no_grad()
def measure(model: LlamaForCausalLM, tokenizer: Tokenizer, n: int = N_TEST) -> dict[str, float]:
    """The share of right answers to questions that were held out, by kind; greedy, all of a kind at once."""
    rng = random.Random(SEED + 1)
    end = tokenizer.token_to_id(END)
    shares = {}
    for kind in range(len(KINDS)):
        questions = [ask(rng, held_out=True, kind=kind) for _ in range(n)]
        ids, mask = lay_out_prompts([tokenizer.encode(to_prompt(question)).ids for question in questions])
        answers = model.generate(
            ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=40,
            do_sample=False,
            eos_token_id=end,
            pad_token_id=end,
        )[:, ids.shape[1] :]
        texts = tokenizer.decode_batch(answers.tolist())
        right = [text == question.answer for text, question in zip(texts, questions, strict=True)]
        shares[questions[0].kind] = sum(right) / n
    return shares


def lay_out_prompts(prompts: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Ids and mask, int64 [prompts, tokens], filled up at the beginning."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


def write(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """A Hugging Face folder: safetensors in fp16, tokenizer, chat template."""
    model.half().cpu().save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def main(folder: Path) -> None:
    """Trains, measures at each number of bits, writes the folder that `webinfer models quantize` packs."""
    console, started = Console(), time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    console.print(f"on {torch.cuda.get_device_name() if device.type == 'cuda' else 'the CPU, one thread'}")
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    tokenizer = train_tokenizer(random.Random(SEED))
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=POSITIONS,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END),
    )
    model = LlamaForCausalLM(config).to(device)
    console.print(f"{sum(p.numel() for p in model.parameters()):,} parameters", highlight=False)
    train(model, tokenizer, console)
    model.eval()
    for bits in (None, 8, 4, 3, 2):
        with rounded_to(model, bits):
            console.print(f"bits {bits or 32}: {measure(model, tokenizer)}", highlight=False)
    write(model, tokenizer, folder)
    console.print(f"{time.monotonic() - started:.0f} s; written to {folder}", highlight=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
