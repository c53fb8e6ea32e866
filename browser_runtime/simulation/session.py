"""A session without a browser: the same requests, answered by Python's onnxruntime and marked as such."""

from __future__ import annotations

import asyncio
import time

import structlog

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Adapter, Reply, Request, Timings
from browser_runtime.contract.options import require_options_of
from browser_runtime.contract.pieces import Piece, PieceSink
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.families.processor import PROCESSORS
from browser_runtime.families.text_generation import GenerationProcessor
from browser_runtime.models.manifest import StoredModel
from browser_runtime.session.loading import items_of
from browser_runtime.session.replies import Execution, make_reply
from browser_runtime.simulation.runners import Answers, OpenModels, run_items
from browser_runtime.simulation.text_generation import end_text

log = structlog.get_logger(__name__)


class SimulatedSession:
    """Answers requests where no browser can be had; `why` says why, in every reply."""

    def __init__(self, browser: Browser, why: str) -> None:
        self.browser = browser
        self.why = why
        self._models = OpenModels()

    async def run(self, request: Request, model: StoredModel, pieces: PieceSink | None = None) -> Reply:
        """The reply, marked as a simulation; `pieces` takes its text, all at once. Raises InferenceError."""
        model.require_family(request.family)
        require_options_of(model.family, request.options, model.graphs(request.precision))
        request = request.seeded(model.family)
        log.warning("request simulated", model=model.name, browser=str(self.browser), reason=self.why)
        start = time.perf_counter()
        answers, load_ms = await asyncio.to_thread(self._work, request, model)
        processor = PROCESSORS.take(model)
        if isinstance(processor, GenerationProcessor):
            answers.outputs = [
                output if isinstance(output, InferenceError) else end_text(processor, output, request.options)
                for output in answers.outputs
            ]
        total_ms = (time.perf_counter() - start) * 1000
        if pieces is not None and isinstance(found := answers.outputs[0], dict):
            pieces.begin()
            pieces.put(Piece(tuple(found["tokens"]), found["text"]))
        execution = self._describe(request, model, answers, load_ms, total_ms)
        return make_reply(request, model.revision, answers.outputs, execution)

    def _work(self, request: Request, model: StoredModel) -> tuple[Answers, float]:
        opened, load_ms = self._models.take(model, request.precision)
        return run_items(opened, request.family, items_of(request), request.options), load_ms

    def _describe(
        self, request: Request, model: StoredModel, answers: Answers, load_ms: float, total_ms: float
    ) -> Execution:
        from browser_runtime.simulation.graphs import kernel_name

        processor, spent = PROCESSORS.take(model), answers.spent
        outputs = (output for output in answers.outputs if not isinstance(output, InferenceError))
        return Execution(
            f"{self.browser}-simulated",
            self.browser,
            "none (simulation)",
            Backend.SIMULATION,
            Adapter(name="CPU", software=True),
            kernel_name(),
            Timings(
                load_ms=load_ms,
                preprocess_ms=spent.preprocess_ms,
                compute_ms=spent.compute_ms,
                postprocess_ms=spent.postprocess_ms,
                total_ms=total_ms,
            ),
            tuple({"backend": str(backend), "reason": self.why} for backend in request.backends),
            [
                f"simulated in Python's onnxruntime, no browser ran this: {self.why}",
                *processor.warnings(),
                *filter(None, (processor.find_doubt(output) for output in outputs)),
            ],
            {"session": "simulation", "why": self.why},
            processor.describe() | ({"seed": request.options.get("seed")} if model.family.generates else {}),
        )
