"""A session without a browser: the same requests, answered by Python's onnxruntime and marked as such."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog

from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.messages import Adapter, Reply, Request, Timings
from browser_runtime.contract.vocabulary import Backend, Browser
from browser_runtime.models.manifest import StoredModel
from browser_runtime.session.loading import items_of
from browser_runtime.simulation.runners import Answers, OpenModels, describe_model, run_items

log = structlog.get_logger(__name__)


class SimulatedSession:
    """Answers requests where no browser can be had; `why` says why, in every reply."""

    def __init__(self, browser: Browser, why: str) -> None:
        self.browser = browser
        self.why = why
        self._models = OpenModels()

    async def run(self, request: Request, model: StoredModel) -> Reply:
        """The reply, marked as a simulation. Raises InferenceError."""
        model.require_family(request.family)
        log.warning(
            "simulated: no browser ran this", model=model.name, browser=str(self.browser), why=self.why
        )
        start = time.perf_counter()
        answers, load_ms = await asyncio.to_thread(self._work, request, model)
        if request.single and isinstance(answers.outputs[0], InferenceError):
            raise answers.outputs[0]
        total_ms = (time.perf_counter() - start) * 1000
        return self._reply(request, model, answers, load_ms, total_ms)

    def _work(self, request: Request, model: StoredModel) -> tuple[Answers, float]:
        opened, load_ms = self._models.take(model, request.precision)
        return run_items(opened, request.family, items_of(request), request.options), load_ms

    def _reply(
        self, request: Request, model: StoredModel, answers: Answers, load_ms: float, total_ms: float
    ) -> Reply:
        from browser_runtime.simulation.graphs import kernel_name

        outputs = [_plain(output) for output in answers.outputs]
        spent = answers.spent
        warnings = [f"simulated in Python's onnxruntime, no browser ran this: {self.why}"]
        warnings += ["the input was generated from a bare shape"] if request.synthetic else []
        warnings += request.notes
        details = describe_model(model)
        warnings += details.get("warnings", [])
        return Reply(
            success=not any(isinstance(output, InferenceError) for output in answers.outputs),
            model_name=request.model_name,
            model_type=str(request.family),
            output=outputs[0] if request.single else outputs,
            browser=str(self.browser),
            browser_build="none (simulation)",
            platform=str(Backend.SIMULATION),
            backend=str(Backend.SIMULATION),
            adapter=Adapter(name="CPU", software=True),
            precision=str(request.precision),
            kernel=kernel_name(),
            model_revision=model.revision,
            is_real_hardware=False,
            is_simulation=True,
            synthetic_input=request.synthetic,
            inference_time_ms=spent.compute_ms,
            total_time_ms=total_ms,
            timings=Timings(
                load_ms=load_ms,
                preprocess_ms=spent.preprocess_ms,
                compute_ms=spent.compute_ms,
                postprocess_ms=spent.postprocess_ms,
                total_ms=total_ms,
            ),
            fallbacks=tuple({"backend": str(backend), "reason": self.why} for backend in request.backends),
            warnings=tuple(warnings),
            routing={"session": "simulation", "why": self.why},
            session=f"{self.browser}-simulated",
            details=details,
        )


def _plain(output: dict[str, Any] | InferenceError) -> dict[str, Any]:
    """An item's output, or its error as plain values: one bad item fails alone."""
    if isinstance(output, InferenceError):
        return {"error": {"code": output.code(), "args": list(output.args), "message": str(output)}}
    return output
