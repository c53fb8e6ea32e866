"""All peers at once on this machine, asked in turn: figures that drift of the machine does not decide."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from browser_runtime.contract.errors import BadOutput, InferenceError
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.session.golden import cosine_of
from webinfer.bench.laboratory.estimates import Interval, ratio_interval
from webinfer.bench.peers.peer import BY_HAND, PEERS, Peer
from webinfer.bench.peers.running import Answers, Job, PeerProcess, run_peer

Tell = Callable[[str], None]

IMAGE = BUILTIN_FOLDER / "digits-vit/examples/4.png"
SOUND = BUILTIN_FOLDER / "tones-whisper/examples/spoken-8.flac"
# Beyond a first answer of each model: browsers compile WebAssembly a second time while it runs.
N_WARM = 45
ONE_MODEL, THREE_MODELS = "one model", "three models in turn"
WORKLOADS = (ONE_MODEL, THREE_MODELS)
# Embeddings of the same weights differ by rounding alone.
LEAST_COSINE = 0.999


@dataclass(slots=True)
class Figures:
    """What one peer came to with one workload and so many requests at once; an element a round."""

    peer: Peer
    workload: str
    at_once: int
    n_jobs: int
    """Requests of a round."""
    seconds: list[float] = field(default_factory=list)
    times_ms: list[float] = field(default_factory=list)
    memory_mb: float = 0.0

    @property
    def per_s(self) -> float:
        """Requests a second, of the median round."""
        return self.n_jobs / statistics.median(self.seconds)

    def percentile_ms(self, share: float) -> float:
        """The time within which this share of requests was answered."""
        ordered = sorted(self.times_ms)
        return ordered[min(math.ceil(share * len(ordered)) - 1, len(ordered) - 1)]

    def times_as_quick(self, other: Figures) -> Interval:
        """Its throughput to another's, of the same rounds."""
        return ratio_interval([math.log(b / a) for a, b in zip(self.seconds, other.seconds, strict=True)])


@dataclass(slots=True)
class PeersFound:
    """All figures, and the peers that could not be had."""

    figures: list[Figures] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Reason by name."""

    def find(self, name: str, workload: str, at_once: int) -> Figures | None:
        """The figures of one peer."""
        key = (name, workload, at_once)
        return next((one for one in self.figures if (one.peer.name, one.workload, one.at_once) == key), None)

    @property
    def by_hand(self) -> dict[str, Figures]:
        """What everything is compared with, by workload."""
        found = {name: self.find(BY_HAND, name, 1) for name in WORKLOADS}
        return {name: one for name, one in found.items() if one is not None}

    def to_plain(self) -> dict[str, Any]:
        """Plain values."""
        return {"peers": [self._row(one) for one in self.figures], "absent": self.absent}

    def _row(self, one: Figures) -> dict[str, Any]:
        hand = self.by_hand.get(one.workload)
        ratio = None if hand is None else one.times_as_quick(hand)
        return {
            "peer": one.peer.name,
            "workload": one.workload,
            "at_once": one.at_once,
            "per_s": one.per_s,
            "p50_ms": one.percentile_ms(0.5),
            "p95_ms": one.percentile_ms(0.95),
            "memory_mb": one.memory_mb,
            "lines_of_code": one.peer.n_lines,
            "to_by_hand": None if ratio is None else [ratio.ratio, ratio.low, ratio.high],
            "seconds": one.seconds,
        }


def measure_peers(names: Sequence[str], n_rounds: int, n_jobs: int, folder: Path, tell: Tell) -> PeersFound:
    """Every peer of `names` (all if none), started together and asked in turn, `n_jobs` requests each time.

    Raises BadOutput.
    """
    found, wanted = PeersFound(), [peer for peer in PEERS if not names or peer.program in names]
    with ExitStack() as open_, _sound_file(folder) as sound:
        running: list[tuple[Peer, PeerProcess]] = []
        for peer in wanted:
            try:
                running.append((peer, open_.enter_context(run_peer(peer, folder, tell))))
            except InferenceError as error:
                found.absent[peer.name] = str(error)
        _warm(running, sound, tell)
        arms = [
            Figures(peer, name, n, n_jobs) for peer, _ in running for name in WORKLOADS for n in peer.at_once
        ]
        processes = {peer.name: process for peer, process in running}
        for number in range(n_rounds):
            tell(f"round {number + 1} of {n_rounds}")
            # There and back, so that none always follows the same neighbour.
            for arm in arms if number % 2 == 0 else arms[::-1]:
                jobs = make_jobs(arm.workload, number, sound, n_jobs)
                answers = processes[arm.peer.name].ask(jobs, arm.at_once)
                check(arm.peer.name, jobs, answers)
                arm.seconds.append(answers.seconds)
                arm.times_ms += answers.times_ms
        for arm in arms:
            arm.memory_mb = processes[arm.peer.name].memory_mb()
    found.figures = arms
    return found


def _warm(running: Sequence[tuple[Peer, PeerProcess]], sound: Path, tell: Tell) -> None:
    for peer, process in running:
        tell(f"warming up {peer.name}")
        for at_once in peer.at_once:
            process.ask(make_jobs(THREE_MODELS, 0, sound, N_WARM * min(at_once, 2)), at_once)


def make_jobs(workload: str, number: int, sound: Path, n_jobs: int) -> list[Job]:
    """The requests of one round: each text is another one."""
    texts: Iterator[Job] = (("text", f"this is sentence number {number * n_jobs + n}") for n in range(n_jobs))
    if workload == ONE_MODEL:
        return list(texts)
    others = (("image", str(IMAGE)), ("sound", str(sound)))
    return [next(texts) if n % 3 == 0 else others[n % 3 - 1] for n in range(n_jobs)]


def check(name: str, jobs: Sequence[Job], found: Answers) -> None:
    """Raises BadOutput for the first wrong answer."""
    for (kind, item), answer in zip(jobs, found.answers, strict=True):
        if kind == "text":
            is_right = (
                len(answer) == len(reference(item)) and cosine_of(answer, reference(item)) > LEAST_COSINE
            )
        else:
            is_right = str(answer).strip() == {"image": "4", "sound": "8"}[kind]
        if not is_right:
            raise BadOutput(f"{name} answered {str(answer)[:80]!r} to {item!r}")


@cache
def reference(text: str) -> tuple[float, ...]:
    """Python's onnxruntime on the same text: what every embedding is held to."""
    session, words = _reference_model()
    ids = np.array([words.encode(text).ids])
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    hidden = session.run(None, {each.name: feeds[each.name] for each in session.get_inputs()})[0]
    return tuple(hidden.mean(axis=1)[0].tolist())


@cache
def _reference_model() -> tuple[Any, Any]:
    import onnxruntime
    from tokenizers import Tokenizer

    folder = BUILTIN_FOLDER / "sentences-bert"
    words = Tokenizer.from_file(str(folder / "tokenizer.json"))
    words.no_padding()
    return onnxruntime.InferenceSession(folder / "onnx/model.onnx"), words


@contextmanager
def _sound_file(folder: Path) -> Iterator[Path]:
    """The sound as a WAV file of 16 bits: what every peer can read, or read by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spoken-8.wav"
    samples, rate = soundfile.read(SOUND, dtype="int16")
    soundfile.write(path, samples, rate, subtype="PCM_16")
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
