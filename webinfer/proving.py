"""Tests a model before it is stored: in every browser of this machine, on every backend that works there."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from browser_runtime.contract.errors import BadRequest, InferenceError, SetupError
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import PAGE_BACKENDS, Backend, Browser
from browser_runtime.families.processor import PROCESSORS, Output
from browser_runtime.launching.binaries import find_installation
from browser_runtime.models.intake.trial import TrialRun
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.pool import Pool
from browser_runtime.session.golden import MIN_COSINE, cosine_of, find_word
from browser_runtime.settings import RuntimeSettings

# For the single number of a regression model, for which a cosine is meaningless.
MAX_RELATIVE_ERROR = 0.01

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of one run in a browser."""

    browser: str
    build: str
    backend: str
    precision: str
    problem: str = ""
    """The reason why there is no right answer; empty if there is one."""
    was_tried: bool = True
    """False if the browser or backend is not available, which is no fault of the model."""
    load_ms: float = 0.0
    compute_ms: float = 0.0

    @property
    def is_right(self) -> bool:
        """True if the browser answered as Python's onnxruntime did."""
        return self.was_tried and not self.problem


def prove_model(
    model: StoredModel, runs: Sequence[TrialRun], tell: Tell, browsers: Sequence[Browser] = tuple(Browser)
) -> list[Proof]:
    """Run the model in each browser, backend and precision, and compare the answers with those of its trial.

    Raises BadRequest if no browser gives the right answer.
    """
    with tempfile.TemporaryDirectory(prefix="webinfer-proving-") as scratch:
        link = Path(scratch) / model.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(model.folder)
        proofs = asyncio.run(_prove(Path(scratch), model, runs, tell, browsers))
    tried = [proof for proof in proofs if proof.was_tried]
    if tried and not any(proof.is_right for proof in tried):
        why = "; ".join(f"{proof.browser} {proof.backend}: {proof.problem}" for proof in tried)
        raise BadRequest(f"model {model.name!r} gives the right answer in no browser here: {why}")
    return proofs


async def _prove(
    root: Path, model: StoredModel, runs: Sequence[TrialRun], tell: Tell, browsers: Sequence[Browser]
) -> list[Proof]:
    settings = RuntimeSettings().model_copy(update={"simulation": "never", "models_dir": root})
    proofs: list[Proof] = []
    for browser in browsers:
        tell(f"starting {browser}")
        proofs += await _prove_in(settings, browser, model, runs, tell)
    return proofs


async def _prove_in(
    settings: RuntimeSettings, browser: Browser, model: StoredModel, runs: Sequence[TrialRun], tell: Tell
) -> list[Proof]:
    try:
        build = (await asyncio.to_thread(find_installation, browser, settings)).build
    except SetupError as error:
        return [Proof(str(browser), "", "", "", str(error), was_tried=False)]
    pool = Pool(settings, browser, store=ModelStore(settings.models_dir))
    proofs: list[Proof] = []
    try:
        await pool.open()
        for backend in PAGE_BACKENDS:
            for run in runs:
                tell(f"{model.name} in {browser} on {backend} in {run.precision}")
                proofs.append(await _run(pool, build, model, run, backend))
    except InferenceError as error:  # the browser does not start
        proofs.append(Proof(str(browser), build, "", "", str(error), was_tried=False))
    finally:
        await pool.close()
        pool.store.in_use.release_unused((), min_hold_s=0.0)  # its folder is removed
    return proofs


async def _run(pool: Pool, build: str, model: StoredModel, run: TrialRun, backend: Backend) -> Proof:
    """The proof of one run; an error of the pool is its problem."""
    place = (str(pool.browser), build, str(backend), str(run.precision))
    can = pool.sessions[0].capabilities if pool.sessions else None
    if can is not None and not can.can(backend):
        return Proof(*place, can.reason(backend) or "not proved here", was_tried=False)
    family, item = model.family, PROCESSORS.take(model).sample_items()[0]
    request = Request(
        family.model_types[0],
        model.name,
        {family.inputs.batch: [item]},
        backends=(backend,),
        precision=run.precision,
    )
    try:
        reply = await pool.run(request)
    except InferenceError as error:
        return Proof(*place, " ".join(str(error).split()))
    times = reply.timings
    load_ms = times.load_ms + times.compile_ms + times.warmup_ms
    return Proof(*place, compare(family, run.output, reply.output), True, load_ms, times.compute_ms)


def compare(family: FamilySpec, expected: Output, found: Output) -> str:
    """The difference of a browser's output to the one from the trial; empty if it is right."""
    key = family.answer.numbers
    if not key:
        name = family.answer.word[-1]
        given_word, right_word = (find_word(output, family.answer) for output in (found, expected))
        return "" if given_word == right_word else f"the {name} {given_word!r} instead of {right_word!r}"
    right, given = (np.asarray(output[key], np.float64) for output in (expected, found))
    if right.shape != given.shape:
        return f"{given.size} numbers instead of {right.size}"
    if right.size == 1:
        close = abs(given - right).item() <= MAX_RELATIVE_ERROR * max(abs(right).item(), MAX_RELATIVE_ERROR)
        return "" if close else f"{given.item():.4g} instead of {right.item():.4g}"
    cosine = cosine_of(given, right)
    return "" if cosine >= MIN_COSINE else f"a cosine of {cosine:.4f} to the {key} in Python"
