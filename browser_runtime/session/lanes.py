"""Lanes of a session and their jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from browser_runtime.contract.answers import ItemResult, RunAnswer
from browser_runtime.contract.errors import InferenceError, PageFault
from browser_runtime.contract.messages import Request
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.pieces import PieceSink, TokenListener
from browser_runtime.contract.sharing import LaneSharing
from browser_runtime.contract.vocabulary import Backend
from browser_runtime.link.bridge import LaneConnection
from browser_runtime.link.silence import Silence
from browser_runtime.models.store import StoredModel
from browser_runtime.policies.time_limits import TimeLimit, WarmUp
from browser_runtime.session.loading import ModelCache
from browser_runtime.session.timed_calls import Deadline, LaneActivity, LimitSource, Operation


@dataclass(eq=False)
class SessionLane:
    """A lane with its loaded models; one request at a time."""

    connection: LaneConnection
    models: ModelCache
    holder: object | None = None
    """Whoever has it whole: a request whose call shares the lane with no other of its kind."""
    generating: Counter[ModelKey] = field(default_factory=Counter)
    """Prompts that are gone on with side by side, by model; other calls go on between their tokens."""
    boot: str = ""
    sharing: LaneSharing = field(default_factory=LaneSharing)
    """As its page told it last."""
    activity: LaneActivity = field(default_factory=LaneActivity)

    @property
    def busy(self) -> bool:
        """True while a call computes that shares the lane with none but generations."""
        return self.holder is not None

    @property
    def is_idle(self) -> bool:
        """True if it computes nothing."""
        return not self.busy and not self.generating.total()

    @property
    def busy_models(self) -> set[ModelKey]:
        """Models, on any backend, that generate text here now."""
        return {key for key, n_prompts in self.generating.items() if n_prompts > 0}

    def can_generate(self, key: ModelKey, usual: int) -> bool:
        """True if one more prompt of that model may start here; it has `usual` places until it is loaded."""
        if self.busy or self.generating.total() >= self.models.count_slots(key, usual):
            return False
        return not self.generating.total() or self.generating[key] > 0

    def check_boot(self) -> None:
        """Forget the models of a page, or of a lane, that has started anew since."""
        if self.connection.boot != self.boot:
            self.boot = self.connection.boot
            self.sharing = LaneSharing()
            self.models.clear()

    def note(self, answer: Mapping[str, Any]) -> None:
        """Keep what the page tells of its models in an answer to any call."""
        if "sharing" in answer:
            self.sharing = LaneSharing.from_page(answer["sharing"])

    async def unload(self, key: ModelKey, limit_s: float) -> None:
        """Have the page release a model, and forget it."""
        self.models.drop(key)
        self.note(await self.connection.call("unload", limit_s, key=str(key)))

    async def shed(self, limit_s: float) -> int:
        """Have the page free the results that it keeps; the bytes that they took."""
        answer: Mapping[str, Any] = await self.connection.call("shed", limit_s)
        self.note(answer)
        return int(answer.get("freed_bytes") or 0)

    async def run(
        self,
        key: ModelKey,
        items: Sequence[Any],
        options: Mapping[str, object],
        limit_s: float | None,
        max_items: int | None = None,
        on_tokens: TokenListener | None = None,
        silence: Silence | None = None,
        is_fresh: bool = False,
    ) -> RunAnswer:
        """The page's answer to `run`: a result an item. Raises InferenceError where the whole call failed.

        `is_fresh`: everything is computed, whatever results the page has kept.

        An item that is an error already, for it could not be prepared, is its own result. More than
        `max_items` go in several calls, `limit_s` for each.
        """
        if max_items is not None and len(items) > max_items:
            parts = [items[at : at + max_items] for at in range(0, len(items), max_items)]
            return _join(  # none generates
                [await self.run(key, part, options, limit_s, is_fresh=is_fresh) for part in parts]
            )
        sound = [_to_wire(item) for item in items if not isinstance(item, InferenceError)]
        answer: RunAnswer = {"results": []}
        if sound:
            values = {"key": str(key), "items": sound, "options": options, "fresh": is_fresh}
            answer = cast(RunAnswer, await self.connection.call("run", limit_s, on_tokens, silence, **values))
            self.note(answer)
        if len(answer["results"]) != len(sound):
            raise PageFault(f"{len(answer['results'])} results for {len(sound)} items", "")
        results = iter(answer["results"])
        merged: list[ItemResult] = [
            {"ok": False, "error": item.to_plain()} if isinstance(item, InferenceError) else next(results)
            for item in items
        ]
        return {**answer, "results": merged}


def _join(answers: list[RunAnswer]) -> RunAnswer:
    """Several answers as one: all results in order, times summed up, the rest as the first has it."""
    results = [result for answer in answers for result in answer["results"]]
    steps = {step for answer in answers for step in answer.get("timings", {})}
    times = {step: sum(answer.get("timings", {}).get(step) or 0.0 for answer in answers) for step in steps}
    return {**answers[0], "results": results, "timings": times}


def _to_wire(item: Any) -> Any:
    return item.to_wire() if hasattr(item, "to_wire") else item


@dataclass(frozen=True, slots=True)
class LaneJob:
    """The work of one run on a lane: a request, or several merged into one."""

    request: Request
    model: StoredModel
    deadline: Deadline | None = None
    """Time from which nobody waits for it."""
    limits: LimitSource | None = None
    """Time limits of its operations; the settings' own where there are none."""
    barred: Mapping[Backend, str] = field(default_factory=dict)
    """Backends that failed on it before, and how."""
    max_items: int | None = None
    """Most items to send at once; None: all."""
    pieces: PieceSink | None = None
    """Takes generated text as it grows."""
    on_ready: Callable[[], None] = lambda: None
    """Called once the model is loaded, before it runs."""

    def limit(
        self, operation: Operation, key: ModelKey, longest_s: float, warm_up: WarmUp | None = None
    ) -> TimeLimit:
        """Return the time limit of `operation` on the model."""
        return TimeLimit(longest_s, "") if self.limits is None else self.limits(operation, key, warm_up)
