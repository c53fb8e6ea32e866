"""The models of a load: asked once through the queue, their answers held to Python's onnxruntime."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import redis

from browser_runtime.contract.errors import BadOutput, NoWorker
from browser_runtime.contract.vocabulary import Browser
from browser_runtime.models.store import ModelStore
from browser_runtime.settings import RuntimeSettings
from scheduler.autoscaling.desired import DesiredStore
from tasks.app import app
from tasks.routing.router import QUEUE_OF
from webinfer.bench.laboratory.answers import Answer, make_request, read_answer
from webinfer.bench.laboratory.arms import Arm
from webinfer.bench.laboratory.load import LoadedModel
from webinfer.bench.laboratory.matrix_cells import Coordinates
from webinfer.bench.laboratory.references import References
from webinfer.producing import collect, send

READY_TIMEOUT_S = 300.0
# Of each model, one after another: browsers compile WebAssembly a second time while it runs.
WARM_ROUNDS = 40


def require_models(names: Sequence[str]) -> None:
    """Fetches and verifies every model, before anything is started. Raises UnknownModel, BadRequest."""
    store = ModelStore(RuntimeSettings().models_dir)
    for name in dict.fromkeys(names):
        store.ensure(name, *_precision(store, name))


def prepare_mix(
    names: Sequence[str], browser: Browser, backend: str | None, tell: Callable[[str], None]
) -> list[LoadedModel]:
    """The models, loaded and warm; one that is named twice is there twice, and so asked twice as often.

    Raises BadOutput for a wrong first answer, UnknownModel, NotReady.
    """
    ready = {model.name: model for model in _prepare(names, browser, backend, tell)}
    return [ready[name] for name in names]


def require_worker(browser: Browser) -> None:
    """Returns if a worker takes what names that browser; else it would wait for one. Raises NoWorker."""
    presence, queue = app.routing.refresh().presence, QUEUE_OF[browser]
    if presence is not None and queue not in (*presence.served, *presence.expected):
        raise NoWorker(queue, queue)


def _prepare(
    names: Sequence[str], browser: Browser, backend: str | None, tell: Callable[[str], None]
) -> list[LoadedModel]:
    store = ModelStore(RuntimeSettings().models_dir)
    references = References()
    mix = []
    for name in dict.fromkeys(names):
        tell(f"loading {name}")
        model = store.ensure(name, *_precision(store, name))
        request = make_request(model, Arm("", name))
        spec = model.family.inputs
        arguments: dict[str, Any] = {
            "model_type": str(request.family),
            "model_name": name,
            "inputs": request.inputs[spec.batch][0],
            "browser": str(browser),
            "precision": str(request.precision),
            "priority_list": [backend] if backend else None,
            "options": dict(request.options),
        }
        place = Coordinates(name, str(request.precision), 1, None, str(browser), "")
        expected = asyncio.run(references.find(place, request, model))
        for _ in range(WARM_ROUNDS):
            reply = _ask(arguments)  # in no loop: Ctrl-C ends it at once
        found = read_answer(reply["output"], model.family.answer)
        if isinstance(expected, Answer) and (told := expected.difference(found)):
            raise BadOutput(f"{name} in {reply['browser_build']}: {told}")
        ran = ("browser_build", "backend", "precision", "is_simulation")
        facts = {each: reply[each] for each in ran}
        mix.append(LoadedModel(name, arguments, model.family.answer, found, facts))
    return mix


def _precision(store: ModelStore, name: str) -> tuple[Any, ...]:
    model = store.find(name)
    return () if model is None else (Arm("", name).precision_for(model.family.model_types[0]),)


def _ask(arguments: dict[str, Any]) -> dict[str, Any]:
    return collect(send(**arguments), READY_TIMEOUT_S)


def wanted_workers() -> int | None:
    """The workers of all queues that the autoscaler wants now; None where it has decided nothing."""
    try:
        found = DesiredStore(app.redis, app.settings.redis_prefix).read()
    except redis.RedisError:
        return None
    numbers = [found[queue].n for queue in QUEUE_OF.values() if queue in found]
    return sum(numbers) if numbers else None
