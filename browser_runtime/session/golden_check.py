"""Hold a loaded model to its golden answer: when it is loaded, and again every so many runs."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from browser_runtime.contract.errors import BadOutput
from browser_runtime.session.lanes import SessionLane
from browser_runtime.session.loading import LoadedModel
from browser_runtime.settings import RuntimeSettings

log = structlog.get_logger(__name__)

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
        answer = await lane.run(loaded.key, [loaded.golden.item], options, self.settings.load_timeout_s)
        result = loaded.finish(answer)["results"][0]
        wrong = loaded.golden.mismatch(result["output"]) if result.get("ok") else str(result.get("error"))
        if not wrong:
            return
        lane.models.drop(loaded.key)
        await lane.connection.call("unload", self.settings.run_timeout_s, key=str(loaded.key))
        kernel = loaded.answer.get("kernel", "")
        log.error(
            "golden check failed", session=self.session, key=str(loaded.key), kernel=kernel, wrong=wrong
        )
        raise BadOutput(f"golden check of {loaded.key} in {self.build}, {kernel}: {wrong}")

    async def check_if_due(self, lane: SessionLane, loaded: LoadedModel) -> None:
        """The check again after EVERY_RUNS. Raises like it; the lane then refuses that model there."""
        if loaded.n_runs < EVERY_RUNS or loaded.key not in lane.models.loaded:
            return
        try:
            await self.check(lane, loaded)
        except BadOutput as error:
            lane.models.refuse(loaded.key, error)
            raise
