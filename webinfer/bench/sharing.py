"""What sharing between models saves: three workflows, each with sharing on and off, in turn, in one run."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.errors import BadInput, UnknownModel
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Browser, Family
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tasks.arguments import build_request
from tasks.settings import TaskSettings
from webinfer.bench.sharing_models import make_classifier, make_text_head

Tell = Callable[[str], None]

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIZES = ("at most four", "five or more")
SOUND = BUILTIN_FOLDER / "tones-whisper/examples/spoken-8.flac"
PICTURE = BUILTIN_FOLDER / "digits-clip/examples/3.png"
# Off and on in an order that a drift of the machine favours neither by.
ORDER = (False, True, True, False)


@dataclass(frozen=True, slots=True)
class Inputs:
    """How many distinct inputs a workflow has, and how often each comes."""

    n: int
    repeats: int


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a workflow for an input."""

    family: Family
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def request(self, item: Any) -> Request:
        """The request for one input."""
        named = {"model_type": str(self.family), "model_name": self.model, "inputs": item}
        return build_request({**named, "options": dict(self.options)}, TaskSettings().limits())


@dataclass(frozen=True, slots=True)
class Workflow:
    """Requests that every input goes through, one after another."""

    name: str
    steps: tuple[Step, ...]
    make_input: Callable[[int], Any]


@dataclass(slots=True)
class Arm:
    """One setting's figures."""

    held_mb: float = 0.0
    """Weights that the lane holds, and results that it keeps."""
    pss_mb: float = 0.0
    """Growth of the session's proportional memory from its start."""
    seconds: float = 0.0
    n: int = 0
    hits: int = 0

    @property
    def per_s(self) -> float:
        """Requests a second."""
        return self.n / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Comparison:
    """A workflow with sharing on and off."""

    name: str
    models: list[str]
    off: Arm = field(default_factory=Arm)
    on: Arm = field(default_factory=Arm)
    answers_equal: bool = True

    @property
    def saved_weights(self) -> float:
        """Share of the held bytes."""
        return 1 - self.on.held_mb / self.off.held_mb

    @property
    def saved_pss(self) -> float:
        """Share of the growth of PSS."""
        return 1 - self.on.pss_mb / self.off.pss_mb

    @property
    def speed_up(self) -> float:
        """Requests a second, on to off."""
        return self.on.per_s / self.off.per_s

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Comparison:
        """What `to_plain` gave. Raises KeyError or TypeError for what it did not."""
        arms = {name: Arm(**plain[name]) for name in ("off", "on")}
        return cls(plain["name"], plain["models"], arms["off"], arms["on"], plain["answers_equal"])

    def to_plain(self) -> dict[str, object]:
        """Plain values for JSON."""
        ratios = {name: getattr(self, name) for name in ("saved_weights", "saved_pss", "speed_up")}
        rates = {"off_per_s": self.off.per_s, "on_per_s": self.on.per_s}
        return asdict(self) | ratios | rates


@dataclass(slots=True)
class SharingRun:
    """What is measured, and what was found so far, by the workflow's short name."""

    browser: str
    text_model: str
    inputs: Inputs
    workflows: dict[str, Comparison] = field(default_factory=dict)

    def to_plain(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "browser": self.browser,
            "text_model": self.text_model,
            "inputs": asdict(self.inputs),
            "workflows": {name: each.to_plain() for name, each in self.workflows.items()},
        }

    def continued(self, plain: Any, place: str) -> SharingRun:
        """The run with the workflows of `plain`, which lies at `place`. Raises BadInput for another run's."""
        asked = {name: value for name, value in self.to_plain().items() if name != "workflows"}
        try:
            kept = {name: Comparison.from_plain(each) for name, each in plain["workflows"].items()}
            told = {name: plain[name] for name in asked}
        except (KeyError, TypeError, AttributeError) as error:
            raise BadInput("--resume", f"{place}, which holds no such run ({error!r})", "its file") from error
        if told != asked:
            raise BadInput("--resume", f"{place}, a run of {told}", f"the file of a run of {asked}")
        return SharingRun(self.browser, self.text_model, self.inputs, kept)


def measure_sharing(run: SharingRun, wanted: Iterable[str], tell: Tell) -> Iterator[tuple[str, Comparison]]:
    """The workflows `wanted` that the run lacks, one after another, each by its short name.

    Raises UnknownModel for a text model that is not here.
    """
    for name in wanted:
        if name in run.workflows:
            continue
        with tempfile.TemporaryDirectory(prefix="webinfer-sharing-") as scratch:
            store = ModelStore(Path(scratch) / "models")
            workflow = plan_workflow(name, run.text_model, Path(scratch), store)
            yield name, asyncio.run(_compare(workflow, Browser(run.browser), store, run.inputs, tell))


def plan_workflow(name: str, text_model: str, scratch: Path, store: ModelStore) -> Workflow:
    """The workflow of that short name, its models in `store`."""
    if name == "picture":
        return _plan_picture(scratch, store)
    return _plan_sound() if name == "sound" else _plan_text(text_model, scratch, store)


def _plan_picture(scratch: Path, store: ModelStore) -> Workflow:
    clip = _find("digits-clip", store)
    make_classifier(clip, DIGITS, "digits-on-clip", scratch, store)
    make_classifier(clip, SIZES, "sizes-on-clip", scratch, store)
    searched = Step(Family.VISION, "digits-clip")
    labelled = (Step(Family.VISION, name) for name in ("digits-on-clip", "sizes-on-clip"))
    return Workflow("a picture searched and labelled twice", (searched, *labelled), _draw)


def _plan_sound() -> Workflow:
    heard = (
        Step(Family.AUDIO, "tones-whisper"),
        Step(Family.AUDIO, "digits-clap", {"candidate_labels": list(DIGITS)}),
        Step(Family.AUDIO, "digits-clap"),
    )
    return Workflow("a sound transcribed, labelled and embedded", heard, _speak)


def _plan_text(text_model: str, scratch: Path, store: ModelStore) -> Workflow:
    source = _find(text_model, ModelStore())
    source.require_family(Family.TEXT_EMBEDDING)
    heads = [
        make_text_head(source.folder, source.files, f"head-{pooling}", pooling, scratch, store).name
        for pooling in ("mean_tokens", "cls_token", "max_tokens")
    ]
    read = tuple(Step(Family.TEXT_EMBEDDING, name) for name in heads)
    return Workflow("a text to three heads", read, _write)


def _find(name: str, store: ModelStore) -> StoredModel:
    model = store.find(name)
    if model is None:
        raise UnknownModel(repr(name), "it is not on this machine; pull or import it first")
    return model


def _draw(number: int) -> Any:
    from PIL import Image

    pixels = np.asarray(Image.open(PICTURE).convert("RGB")).copy()
    pixels[0, 0] = number % 256
    return pixels


def _speak(number: int) -> Any:
    import soundfile

    samples, rate_hz = soundfile.read(SOUND, dtype="float32")
    return {"audio": samples * np.float32(1 - number / 1000), "sampling_rate": rate_hz}


def _write(number: int) -> str:
    return f"This is text number {number}, which several heads of one encoder read one after another."


async def _compare(
    workflow: Workflow, browser: Browser, store: ModelStore, inputs: Inputs, tell: Tell
) -> Comparison:
    models = list(dict.fromkeys(step.model for step in workflow.steps))
    comparison = Comparison(workflow.name, models)
    answers: list[list[Any]] = []
    for is_on in ORDER:
        tell(f"{workflow.name}: sharing {'on' if is_on else 'off'}")
        arm = comparison.on if is_on else comparison.off
        answers.append(await _run(workflow, browser, store, inputs, arm, is_on))
    comparison.answers_equal = all(_is_equal(answers[0], other) for other in answers[1:])
    halves = len(ORDER) / 2
    for arm in (comparison.on, comparison.off):
        arm.held_mb, arm.pss_mb = arm.held_mb / halves, arm.pss_mb / halves
    return comparison


async def _run(
    workflow: Workflow, browser: Browser, store: ModelStore, inputs: Inputs, arm: Arm, is_on: bool
) -> list[Any]:
    """One fresh session: the models loaded, then every input through all of them; adds to `arm`."""
    settings = RuntimeSettings(simulation="never", tensor_sharing=is_on, max_loaded_models=16)
    pool = Pool(settings, browser, store=store)
    await pool.open()
    try:
        (session,) = pool.sessions
        await session.sample_memory()
        before = session.memory_bytes or 0
        for step in workflow.steps:
            await pool.run(step.request(workflow.make_input(inputs.n)))
        answers = []
        started = time.perf_counter()
        for number in [*range(inputs.n)] * inputs.repeats:
            item = workflow.make_input(number)
            answers += [(await pool.run(step.request(item))).output for step in workflow.steps]
        arm.seconds += time.perf_counter() - started
        arm.n += len(answers)
        await session.sample_memory()
        arm.pss_mb += ((session.memory_bytes or 0) - before) / 1e6
        for lane in session.lanes:
            arm.held_mb += (lane.models.held_bytes + lane.sharing.results.size_bytes) / 1e6
            arm.hits += lane.sharing.results.hits
        return answers
    finally:
        await pool.close()


def _is_equal(one: Any, other: Any) -> bool:
    """True for outputs that are the same to the bit."""
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_is_equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    return bool(one == other)
