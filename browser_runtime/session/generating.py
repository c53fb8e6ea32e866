"""Text that grows while a lane generates it: decoded token by token, passed on, stopped at a stop text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from browser_runtime.contract.answers import ItemResult, RunAnswer
from browser_runtime.contract.errors import InferenceError
from browser_runtime.contract.pieces import Piece, PieceSink
from browser_runtime.families.text_generation import (
    GenerationProcessor,
    Prompt,
    resume,
    resume_choices,
)


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

    def _replay(self) -> bool:
        """Emit what an earlier run has generated; True if nothing is left to generate."""
        if not self._earlier:
            return False
        has_ended = self.take(0, self._earlier)
        return has_ended or self._finish_reason_of(self._earlier) is not None

    def take(self, place: int, tokens: Sequence[int]) -> bool:
        """Take in tokens of an item, by its place among those sent; True if it is to end here."""
        emitter = self._emitters[place]
        text = emitter.push(tokens)
        self._emit(place, tokens, text)
        return emitter.stopped_by is not None

    def _emit(self, place: int, tokens: Sequence[int], text: str) -> None:
        self._texts[place].append(text)
        if self._pieces is not None:
            self._pieces.put(Piece(tuple(tokens), text))

    def finish(self, answer: RunAnswer) -> RunAnswer:
        """The answer with each item's text and how it ended."""
        results: list[ItemResult] = []
        for index, result in enumerate(answer["results"]):
            if not result["ok"]:
                results.append(result)
                continue
            output = self._output(self._places[index], result["output"])
            results.append({**result, "output": output})
        details = {**answer.get("details", {}), "seed": self._options.get("seed")}
        return {**answer, "results": results, "details": details}

    def complete(self) -> RunAnswer:
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
