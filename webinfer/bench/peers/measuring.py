"""All peers at once on this machine, asked in turn: figures that drift of the machine does not decide."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from browser_runtime.contract.errors import BadInput, BadOutput, InferenceError
from browser_runtime.models.store import BUILTIN_FOLDER
from browser_runtime.session.golden import cosine_of
from webinfer.bench.laboratory.documents import interval_plain
from webinfer.bench.laboratory.estimates import Interval, ratio_interval
from webinfer.bench.peers.peer import BY_HAND, PEERS, Peer
from webinfer.bench.peers.running import Answers, Job, PeerProcess, run_peer

Tell = Callable[[str], None]

IMAGE = BUILTIN_FOLDER / "digits-vit/examples/4.png"
SOUND = BUILTIN_FOLDER / "tones-whisper/examples/spoken-8.flac"
# Beyond a first answer of each model: browsers compile WebAssembly a second time while it runs.
N_WARM = 45
ONE_MODEL, THREE_MODELS = "one model", "three models in turn"
MODELS = ("sentences-bert", "digits-vit", "tones-whisper")
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
    times_ms: list[list[float]] = field(default_factory=list)
    memory_mb: float = 0.0
    """After the latest round."""

    @property
    def per_s(self) -> float:
        """Requests a second, of the median round."""
        return self.n_jobs / statistics.median(self.seconds)

    def percentile_ms(self, share: float) -> float:
        """The time within which this share of requests was answered."""
        ordered = sorted(ms for times in self.times_ms for ms in times)
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
    is_cut: bool = False
    """True if Ctrl-C ended it: its rounds are whole, but not all."""

    @property
    def n_rounds(self) -> int:
        """Rounds that all of them have run."""
        return min((len(one.seconds) for one in self.figures), default=0)

    def cut(self, n_rounds: int) -> None:
        """Forget the rounds that only some have run."""
        for one in self.figures:
            del one.seconds[n_rounds:], one.times_ms[n_rounds:]

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
            "to_by_hand": None if ratio is None else interval_plain(ratio),
            "n_jobs": one.n_jobs,
            "seconds": one.seconds,
            "times_ms": one.times_ms,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> PeersFound:
        """The inverse of `to_plain`. Raises BadInput for a way that is not known."""
        peers = {peer.name: peer for peer in PEERS}
        found = cls(absent=dict(plain["absent"]))
        for row in plain["peers"]:
            if row["peer"] not in peers:
                raise BadInput("--json", f"a file with the way {row['peer']!r}", f"one of {', '.join(peers)}")
            place = (peers[row["peer"]], row["workload"], row["at_once"], row["n_jobs"])
            found.figures.append(Figures(*place, row["seconds"], row["times_ms"], row["memory_mb"]))
        return found


def measure_peers(
    names: Sequence[str],
    n_rounds: int,
    n_jobs: int,
    folder: Path,
    tell: Tell,
    earlier: PeersFound | None = None,
    save: Callable[[PeersFound], None] = lambda found: None,
) -> PeersFound:
    """Every peer of `names` (all if none), started together and asked in turn, `n_jobs` requests each time.

    Goes on with the rounds of `earlier`; `save` is called after each. Ctrl-C ends it with the rounds that are
    whole, if there are any. Raises BadOutput, and BadInput where `earlier` is of other peers or requests.
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
        arms = found.figures = [
            Figures(peer, name, n, n_jobs) for peer, _ in running for name in WORKLOADS for n in peer.at_once
        ]
        if earlier is not None:
            arms = found.figures = _go_on(arms, earlier)
        processes = {peer.name: process for peer, process in running}
        try:
            for number in range(found.n_rounds, n_rounds):
                tell(f"round {number + 1} of {n_rounds}")
                _ask_all(arms, processes, number, sound)
                save(found)
        except KeyboardInterrupt:
            if not found.n_rounds:
                raise
            found.cut(found.n_rounds)
            found.is_cut = found.n_rounds < n_rounds
    return found


def _ask_all(arms: Sequence[Figures], processes: Mapping[str, PeerProcess], number: int, sound: Path) -> None:
    """One round: there and back in turn, so that none always follows the same neighbour."""
    for arm in arms if number % 2 == 0 else arms[::-1]:
        jobs = make_jobs(arm.workload, number, sound, arm.n_jobs)
        answers = processes[arm.peer.name].ask(jobs, arm.at_once)
        check(arm.peer.name, jobs, answers)
        arm.seconds.append(answers.seconds)
        arm.times_ms.append([round(ms, 3) for ms in answers.times_ms])
    memory_mb = {name: process.memory_mb() for name, process in processes.items()}
    for arm in arms:
        arm.memory_mb = memory_mb[arm.peer.name]


def _go_on(arms: Sequence[Figures], earlier: PeersFound) -> list[Figures]:
    """The figures of a run that was cut, for the same ways. Raises BadInput for others."""
    before, now = (
        [(one.peer.name, one.workload, one.at_once, one.n_jobs) for one in each]
        for each in (earlier.figures, arms)
    )
    if before != now:
        raise BadInput("--json", "a file of other ways or requests than asked for", "another file")
    earlier.cut(earlier.n_rounds)
    return earlier.figures


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
