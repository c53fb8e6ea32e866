"""Text that grows while a lane generates it: decoded token by token, passed on, stopped at a stop text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from browser_runtime.contract.answers import ItemResult, RunAnswer
from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.model_key import ModelKey
from browser_runtime.contract.pieces import Piece, PieceSink
from browser_runtime.families.text_generation import (
    GenerationProcessor,
    Prompt,
    resume,
    resume_choices,
)
from browser_runtime.link.silence import Silence
from browser_runtime.policies.time_limits import TimeLimit
from browser_runtime.session.lanes import SessionLane
from browser_runtime.session.timed_calls import Deadline


class GeneratingRun:
    """One call of a lane that generates text for some prompts."""

    def __init__(
        self,
        processor: GenerationProcessor,
        items: Sequence[Any],
        options: Mapping[str, Any],
        pieces: PieceSink | None = None,
    ) -> None:
        """`pieces` takes the text of the one prompt of a streamed request as it grows."""
        self._processor, self._options, self._pieces = processor, options, pieces
        self._earlier = tuple(pieces.begin()) if pieces is not None else ()
        choices = processor.choose(options)
        self._n_room = int(choices["max_new_tokens"])
        self.choices = resume_choices(choices, len(self._earlier))
        self.items = [resume(item, self._earlier) if isinstance(item, Prompt) else item for item in items]
        # Items that failed while they were prepared never go to a page, which numbers the others.
        sound = [index for index, item in enumerate(items) if not isinstance(item, InferenceError)]
        self._emitters = {place: processor.open_emitter(options) for place, _ in enumerate(sound)}
        self._places = {index: place for place, index in enumerate(sound)}
        self._texts: dict[int, list[str]] = {place: [] for place in self._emitters}
        self.is_complete = self._replay()

    async def compute(
        self,
        lane: SessionLane,
        key: ModelKey,
        place: str,
        limits: tuple[TimeLimit, TimeLimit],
        deadline: Deadline | None,
    ) -> RunAnswer:
        """The answer of the lane, whose pieces are passed on as they come; it may take as long as it goes on.

        `limits` are those up to its first token, and from one to the next. Raises InferenceError.
        """
        if self.is_complete:
            return self._complete()
        activity = lane.activity

        def take(item: int, tokens: Sequence[int], made_ms: float) -> bool:
            activity.progressed(place)
            return self.take(item, tokens, made_ms)

        async def call(limit_s: float | None, silence: Silence) -> RunAnswer:
            return await lane.run(key, self.items, self.choices, limit_s, on_tokens=take, silence=silence)

        return self.finish(await activity.watched(place, *limits, deadline, call))

    def _replay(self) -> bool:
        """Emit what an earlier run has generated; True if nothing is left to generate."""
        if not self._earlier:
            return False
        has_ended = self.take(0, self._earlier)
        return has_ended or self._finish_reason_of(self._earlier) is not None

    def take(self, place: int, tokens: Sequence[int], made_ms: float = 0.0) -> bool:
        """Take in tokens of an item, by its place among those sent; True if it is to end here."""
        emitter = self._emitters[place]
        text = emitter.push(tokens)
        self._emit(place, tokens, text, made_ms)
        return emitter.stopped_by is not None

    def _emit(self, place: int, tokens: Sequence[int], text: str, made_ms: float = 0.0) -> None:
        self._texts[place].append(text)
        if self._pieces is not None:
            self._pieces.put(Piece(tuple(tokens), text, made_ms))

    def finish(self, answer: RunAnswer) -> RunAnswer:
        """The answer with each item's text and how it ended."""
        results: list[ItemResult] = []
        for index, result in enumerate(answer["results"]):
            if not result["ok"]:
                results.append(result)
                continue
            output = self._output(self._places[index], result["output"]) | self.items[index].counts
            results.append({**result, "output": output})
        details = {**answer.get("details", {}), "seed": self._options.get("seed")}
        return {**answer, "results": results, "details": details}

    def _complete(self) -> RunAnswer:
        """The answer where an earlier run had generated everything."""
        output = {"tokens": [], "finish": "stop", "prompt_tokens": len(self.items[0]), "reused_tokens": 0}
        return self.finish({"results": [{"ok": True, "output": output}], "timings": {}, "details": {}})

    def _output(self, place: int, output: Mapping[str, Any]) -> dict[str, Any]:
        emitter = self._emitters[place]
        rest = emitter.finish()
        self._emit(place, (), rest)
        tokens = [*self._earlier, *output["tokens"]]
        if emitter.stopped_by is not None:
            reason = "stop_string"
        else:
            reason = self._finish_reason_of(tokens) or str(output["finish"])
        return {
            "text": "".join(self._texts[place]),
            "tokens": tokens,
            "finish_reason": reason,
            "prompt_tokens": output["prompt_tokens"],
            "generated_tokens": len(tokens),
            "reused_tokens": output["reused_tokens"],
        }

    def _finish_reason_of(self, tokens: Sequence[int]) -> str | None:
        if tokens and tokens[-1] in self._processor.stop_tokens:
            return "stop"
        return "length" if len(tokens) >= self._n_room else None
