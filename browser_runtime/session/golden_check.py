"""Checks a loaded model against its golden answer: when it is loaded, and again every EVERY_RUNS runs."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from browser_runtime.contract.answers import RunAnswer
from browser_runtime.contract.errors import BadOutput
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.session.lanes import SessionLane
from browser_runtime.session.loading import LoadedModel
from browser_runtime.session.replies import find_bad_output
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)

# So many runs in a row without a result that can be trusted are not the items' doing.
MAX_BAD_RUNS = 3
# A run of a golden example for every so many of users': half a percent of the work.
EVERY_RUNS = 200


@dataclass(frozen=True, slots=True)
class GoldenCheck:
    """The checks of one session."""

    session: str
    build: str
    settings: RuntimeSettings

    async def check(self, lane: SessionLane, loaded: LoadedModel) -> None:
        """Return when the answer is right or the model has none. Raises BadOutput, having unloaded it."""
        loaded.n_runs = 0
        if loaded.golden is None:
            return
        options = loaded.processor.choose({})
        limit_s = self.settings.load_timeout_s
        answer = await lane.run(loaded.key, [loaded.golden.item], options, limit_s, is_fresh=True)
        result = loaded.finish(answer)["results"][0]
        wrong = loaded.golden.mismatch(result["output"]) if result.get("ok") else str(result.get("error"))
        if not wrong:
            return
        await self._unload(lane, loaded)
        kernel = loaded.answer.get("kernel", "")
        log.error(
            "golden check failed", session=self.session, key=str(loaded.key), kernel=kernel, wrong=wrong
        )
        raise BadOutput(f"golden check of {loaded.key} in {self.build}, {kernel}: {wrong}")

    async def judge(self, lane: SessionLane, loaded: LoadedModel, answer: RunAnswer) -> None:
        """Leave a backend on which MAX_BAD_RUNS in a row gave nothing but BadOutput.

        Not WebAssembly: there is nothing behind it, and the model's breaker counts what fails there.
        """
        results = answer["results"]
        bad = [find_bad_output([result]) for result in results]
        loaded.n_bad_runs = loaded.n_bad_runs + 1 if results and all(bad) else 0
        if loaded.n_bad_runs >= MAX_BAD_RUNS and loaded.backend is not Backend.WASM and bad[0] is not None:
            log.error("backend given up", session=self.session, key=str(loaded.key), error=str(bad[0]))
            lane.models.refuse(loaded.key, bad[0])
            await self._unload(lane, loaded)

    async def _unload(self, lane: SessionLane, loaded: LoadedModel) -> None:
        await lane.unload(loaded.key, self.settings.run_timeout_s)

    async def check_if_due(self, lane: SessionLane, loaded: LoadedModel) -> None:
        """Check again after EVERY_RUNS. Raises like `check`; the lane then refuses that model there."""
        if loaded.n_runs < EVERY_RUNS or loaded.key not in lane.models.loaded:
            return
        try:
            await self.check(lane, loaded)
        except BadOutput as error:
            lane.models.refuse(loaded.key, error)
            raise
