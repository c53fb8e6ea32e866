"""Runs models by browser, backend, precision, batch and length: every cell, or it has its reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from browser_runtime.contract.errors import BadOutput, InferenceError
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Precision
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tasks.telemetry.rows import adapter_name
from webinfer.bench.laboratory.answers import make_request, read_answer
from webinfer.bench.laboratory.arms import COMPUTE_ALWAYS, Arm
from webinfer.bench.laboratory.comparing import Tell
from webinfer.bench.laboratory.estimates import spread
from webinfer.bench.laboratory.matrix_cells import (
    MEASURED,
    NOT_RUN,
    WRONG,
    Coordinates,
    Matrix,
    MatrixCell,
    Plan,
)
from webinfer.bench.laboratory.references import References
from webinfer.bench.laboratory.sessions import steady_ms

MOST_RUNS = 50
# Of a cell's time: to warm up beyond the model's own, and for the runs that count.
WARM_SHARE, RUN_SHARE = 0.2, 0.4


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
