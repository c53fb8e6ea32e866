"""Models by browser, backend, precision, batch and length: every cell is run, or has its reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

from browser_runtime.contract.errors import BadOutput, InferenceError
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.session.loading import items_of
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation.runners import OpenModels, run_items
from tasks.telemetry.rows import adapter_name
from webinfer.bench.laboratory.answers import Answer, make_request, read_answer
from webinfer.bench.laboratory.arms import COMPUTE_ALWAYS, Arm
from webinfer.bench.laboratory.comparing import Tell
from webinfer.bench.laboratory.documents import Document, make_document
from webinfer.bench.laboratory.estimates import spread
from webinfer.bench.laboratory.sessions import steady_ms

MEASURED, WRONG, NOT_RUN = "measured", "wrong", "not run"
MOST_RUNS, LEAST_RUNS = 50, 3
# Of a cell's time: to warm up beyond the model's own, and for the runs that count.
WARM_SHARE, RUN_SHARE = 0.2, 0.4
# Of loading, compiling and warming up, unless another time is asked for: software GPUs compile for long.
LOAD_S = 30.0


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The place of a cell."""

    model: str
    precision: str
    batch: int
    length: int | None
    browser: str
    backend: str


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One cell: its times, or the reason why there are none."""

    at: Coordinates
    status: str
    note: str = ""
    """The reason of a cell that was not run; what is wrong with a wrong one."""
    p50_ms: float | None = None
    """A request of the whole batch: in the page, and the way there and back."""
    low_ms: float | None = None
    high_ms: float | None = None
    """The quartiles."""
    n_runs: int = 0
    ready_ms: float | None = None
    """Load, compile and warm-up."""
    closeness: float | None = None
    """To Python's onnxruntime in the same precision: the cosine, or 1 less a score's difference."""
    build: str = ""
    adapter: str = ""
    revision: str = ""
    """The model's; empty where it did not run."""

    def to_row(self) -> dict[str, Any]:
        """One flat row."""
        plain = asdict(self)
        place: dict[str, Any] = plain.pop("at")
        return place | plain

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> MatrixCell:
        """The inverse of `to_row`."""
        places = {name: row[name] for name in Coordinates.__dataclass_fields__}
        rest = {name: value for name, value in row.items() if name not in places}
        return cls(Coordinates(**places), **rest)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for."""

    models: tuple[str, ...]
    browsers: tuple[Browser, ...]
    backends: tuple[Backend, ...]
    precisions: tuple[Precision, ...]
    """None: the usual one of each model."""
    batches: tuple[int, ...]
    lengths: tuple[int | None, ...]
    cell_s: float
    """The longest that a cell runs once its model is ready."""
    ready_s: float = LOAD_S
    """The longest that its model may take to be ready."""

    def coordinates(self, models: Mapping[str, StoredModel]) -> Iterator[Coordinates]:
        """Every cell, those of a session and model together."""
        for browser, name in product(self.browsers, self.models):
            usual = Arm("", name).precision_for(models[name].family.model_types[0])
            places = product(self.backends, self.precisions or (usual,), self.batches, self.lengths)
            for backend, precision, batch, length in places:
                yield Coordinates(name, str(precision), batch, length, str(browser), str(backend))


@dataclass(slots=True)
class Matrix:
    """The cells so far."""

    plan: Plan
    cells: dict[Coordinates, MatrixCell] = field(default_factory=dict)
    n_planned: int = 0

    @property
    def is_complete(self) -> bool:
        """True once every cell was run or has its reason."""
        return len(self.cells) >= self.n_planned

    def _quickest(self) -> Iterator[str]:
        """The quickest right cell of each model."""
        for name in self._models():
            right = [
                c for c in self.cells.values() if c.at.model == name and c.status == MEASURED and c.p50_ms
            ]
            if right:
                best = min(right, key=lambda cell: cell.p50_ms or 0.0)
                yield f"{name} quickest on {best.at.browser} {best.at.backend}: {best.p50_ms:.1f} ms"

    def _models(self) -> list[str]:
        """Those asked for, and behind them others of the file that was gone on with."""
        return list(dict.fromkeys([*self.plan.models, *(at.model for at in self.cells)]))

    def document(self) -> Document:
        """The matrix as it is now."""
        found = list(self.cells.values())
        counts = {name: sum(cell.status == name for cell in found) for name in (MEASURED, WRONG, NOT_RUN)}
        told = ", ".join(f"{n} {name}" for name, n in counts.items())
        verdict = "; ".join([f"{len(found)} of {self.n_planned} cells: {told}", *self._quickest()])
        body = {
            "models": self._models(),
            "cell_s": self.plan.cell_s,
            "ready_s": self.plan.ready_s,
            "is_complete": self.is_complete,
            "cells": [cell.to_row() for cell in found],
        }
        return make_document("matrix", verdict, body)


async def run_matrix(
    plan: Plan, done: Mapping[Coordinates, MatrixCell], tell: Tell, show: Callable[[Matrix], None]
) -> Matrix:
    """Every cell that is not in `done`, in sessions that cells of one browser share, and all of `done`.

    A cell of `done` whose model is another revision now is measured anew. Ctrl-C ends it with the cells that
    are there by then. Raises UnknownModel, SetupError for a model that cannot be had.
    """
    settings = RuntimeSettings(simulation="never", **COMPUTE_ALWAYS)
    store = ModelStore(settings.models_dir)
    models = {name: await asyncio.to_thread(_provide, store, name) for name in plan.models}
    wanted = list(dict.fromkeys(plan.coordinates(models)))
    kept = {at: cell for at, cell in done.items() if not _is_outdated(cell, models.get(at.model))}
    matrix = Matrix(plan, kept, len({*wanted, *kept}))
    references = References()
    try:
        for browser in plan.browsers:
            left = [at for at in wanted if at.browser == str(browser) and at not in matrix.cells]
            if left:
                tell(f"starting {browser}")
                cells = _run_browser(settings, store, browser, left, models, references, plan, tell)
                async for cell in cells:
                    matrix.cells[cell.at] = cell
                    show(matrix)
    except asyncio.CancelledError:
        if not matrix.cells:
            raise
    return matrix


def _is_outdated(cell: MatrixCell, model: StoredModel | None) -> bool:
    return model is not None and cell.revision not in ("", model.revision)


def _provide(store: ModelStore, name: str) -> StoredModel:
    """The model in whatever precision it is there. Raises like `ModelStore.ensure`."""
    return store.find(name) or store.ensure(name)


class References:
    """Answers of Python's onnxruntime, one a request."""

    def __init__(self) -> None:
        self._models = OpenModels()
        self._known: dict[tuple[str, str, int, int | None], Answer | str] = {}

    async def find(self, at: Coordinates, request: Request, model: StoredModel) -> Answer | str:
        """The answer, or why there is none."""
        key = (at.model, at.precision, at.batch, at.length)
        if key not in self._known:
            self._known[key] = await asyncio.to_thread(self._answer, request, model)
        return self._known[key]

    def _answer(self, request: Request, model: StoredModel) -> Answer | str:
        try:
            opened, _ = self._models.take(model, request.precision)
            answers = run_items(opened, request.family, items_of(request), request.options)
        except InferenceError as error:
            return str(error)
        first = answers.outputs[0]
        return str(first) if isinstance(first, InferenceError) else read_answer(first, model.family.answer)


async def _run_browser(
    settings: RuntimeSettings,
    store: ModelStore,
    browser: Browser,
    places: Sequence[Coordinates],
    models: Mapping[str, StoredModel],
    references: References,
    plan: Plan,
    tell: Tell,
) -> Any:
    """Yields each cell of one browser."""
    pool: Pool | None = None
    try:
        for number, at in enumerate(places, 1):
            where = f"{at.model} {at.precision}, {at.backend}, batch {at.batch}"
            tell(f"{browser} {number} of {len(places)}: {where}")
            if pool is None:
                pool = Pool(settings, browser, store=store)
                try:
                    await pool.open()
                except InferenceError as error:
                    pool = None  # it has closed itself
                    yield MatrixCell(at, NOT_RUN, str(error))
                    continue
            cell = await _run_cell(pool, at, models[at.model], references, plan)
            yield cell
            if cell.status == NOT_RUN and cell.build:
                # What it left unfinished would take the time of the next ones.
                await pool.close()
                pool = None
    finally:
        if pool is not None:
            await pool.close()


async def _run_cell(
    pool: Pool, at: Coordinates, model: StoredModel, references: References, plan: Plan
) -> MatrixCell:
    arm = Arm("", at.model, Browser(at.browser), Backend(at.backend), Precision(at.precision))
    try:
        model.graphs(Precision(at.precision))
        request = make_request(model, arm, batch=at.batch, length=at.length)
    except InferenceError as error:
        return MatrixCell(at, NOT_RUN, str(error))
    if not pool.sessions:
        return MatrixCell(
            at, NOT_RUN, "no session is up: " + "; ".join(pool.status().start_failures.values())
        )
    can = pool.sessions[0].capabilities
    if not can.can(Backend(at.backend)):
        return MatrixCell(at, NOT_RUN, can.reason(Backend(at.backend)))
    place = {
        "build": pool.sessions[0].build,
        "adapter": adapter_name(can.adapter(Backend(at.backend))),
        "revision": model.revision,
    }
    try:
        cell = await _time_cell(pool, at, request, model, references, plan)
    except BadOutput as error:
        return MatrixCell(at, WRONG, str(error), **place)  # type: ignore[arg-type]
    except InferenceError as error:
        return MatrixCell(at, NOT_RUN, str(error), **place)  # type: ignore[arg-type]
    return replace(cell, **place)  # type: ignore[arg-type]


async def _time_cell(
    pool: Pool,
    at: Coordinates,
    request: Request,
    model: StoredModel,
    references: References,
    plan: Plan,
) -> MatrixCell:
    cell_s = plan.cell_s
    reference = await references.find(at, request, model)
    first = await pool.run(replace(request, deadline_s=plan.ready_s))
    began, bounded = time.monotonic(), replace(request, deadline_s=cell_s)
    ready_ms = first.timings.load_ms + first.timings.compile_ms + first.timings.warmup_ms
    answer = read_answer(first.output, model.family.answer)
    warm_by = time.monotonic() + WARM_SHARE * cell_s
    latest = first
    while time.monotonic() < min(warm_by, began + cell_s):
        latest = await pool.run(bounded)
    end, samples = min(time.monotonic() + RUN_SHARE * cell_s, began + cell_s), list[float]()
    while len(samples) < MOST_RUNS and (time.monotonic() < end or not samples):
        latest = await pool.run(bounded)
        samples.append(steady_ms(latest.timings))
    middle = spread(samples)
    times = (middle.median, middle.low, middle.high, len(samples), ready_ms)
    if isinstance(reference, str):
        return MatrixCell(at, MEASURED, f"not checked: {reference}", *times)
    told = reference.difference(answer)
    return MatrixCell(at, WRONG if told else MEASURED, told, *times, reference.closeness(answer))
