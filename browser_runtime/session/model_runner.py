"""Runs a job on a lane with the model that is loaded for it."""

from __future__ import annotations

from dataclasses import dataclass

from browser_runtime.contract.answers import RunAnswer
from browser_runtime.contract.errors import BackendFault, BadOutput, Unsupported
from browser_runtime.families.text_generation import GenerationProcessor
from browser_runtime.policies.time_limits import TimeLimit
from browser_runtime.session.generating import GeneratingRun
from browser_runtime.session.golden_check import GoldenCheck
from browser_runtime.session.lanes import LaneJob, SessionLane
from browser_runtime.session.loading import LoadedModel, items_of
from browser_runtime.session.model_loader import may_work_later
from browser_runtime.session.timed_calls import Operation
from browser_runtime.settings import RuntimeSettings


@dataclass(frozen=True, slots=True)
class ModelRunner:
    """The runs of one session."""

    session: str
    settings: RuntimeSettings
    golden: GoldenCheck

    async def run(self, lane: SessionLane, job: LaneJob, loaded: LoadedModel) -> RunAnswer:
        """The page's answer to `run`; a request without items only wanted its model loaded."""
        items = items_of(job.request)
        if not items:
            return {"results": []}
        place, processor = f"on {loaded.backend} in {self.session}", loaded.processor

        def limit(operation: Operation) -> TimeLimit:
            return job.limit(operation, loaded.key, self.settings.run_timeout_s, loaded.warm_up)

        async def call(limit_s: float) -> RunAnswer:
            options = processor.choose(job.request.options)
            is_fresh = job.request.options.get("reuse_results") is False
            answer = await lane.run(loaded.key, items, options, limit_s, job.max_items, is_fresh=is_fresh)
            return loaded.finish(answer)

        try:
            if isinstance(processor, GenerationProcessor):
                run = GeneratingRun(processor, items, job.request.options, job.pieces)
                limits = (limit(Operation.PROMPT), limit(Operation.STEP))
                answer = await run.compute(lane, loaded.key, place, limits, job.deadline)
            else:
                answer = await lane.activity.timed(
                    Operation.RUN, place, limit(Operation.RUN), job.deadline, call
                )
        except (BackendFault, Unsupported, BadOutput) as error:
            if not may_work_later(loaded.backend, error):
                lane.models.refuse(loaded.key, error)
            raise
        loaded.n_runs += 1
        await self.golden.judge(lane, loaded, answer)
        return answer
