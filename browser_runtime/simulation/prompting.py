"""What a Whisper's generation_config.json and a request's options say about decoding.

The twin of `page/families/prompting.js`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from browser_runtime.contract.errors import BadInput
from browser_runtime.simulation.choices import read_count, read_word

# What Whisper's own configs say, for one that names no length.
MAX_LENGTH = 448


@dataclass(frozen=True)
class DecodingPlan:
    """How a model is to be decoded."""

    start: int
    ends: tuple[int, ...]
    """Tokens that end a transcript."""
    languages: dict[str, int]
    """Token by code ("en"); empty for a model of one language."""
    tasks: dict[str, int]
    forced: tuple[int, ...]
    """What follows the start in a model of one language."""
    no_timestamps: int | None
    never: tuple[int, ...]
    """Tokens that are never chosen."""
    not_first: tuple[int, ...]
    """Tokens that are not chosen first either."""
    max_length: int
    """Tokens in all, the prompt included."""

    @classmethod
    def of(cls, config: dict[str, Any], generation: dict[str, Any]) -> DecodingPlan:
        """The plan in config.json and generation_config.json."""
        ends = generation["eos_token_id"]
        lengths = (generation.get("max_length"), config.get("max_target_positions"))
        return cls(
            start=generation["decoder_start_token_id"],
            ends=tuple(ends) if isinstance(ends, list) else (ends,),
            languages=_codes(generation.get("lang_to_id") or {}),
            tasks=generation.get("task_to_id") or {},
            forced=tuple(
                token for _, token in generation.get("forced_decoder_ids") or () if token is not None
            ),
            no_timestamps=generation.get("no_timestamps_token_id"),
            never=tuple(generation.get("suppress_tokens") or ()),
            not_first=tuple(generation.get("begin_suppress_tokens") or ()),
            max_length=min((length for length in lengths if length), default=MAX_LENGTH),
        )

    def choose(self, options: dict[str, Any]) -> tuple[str | None, str | None]:
        """The language and task asked for. Raises BadInput for words that the model does not know."""
        if not self.languages and (options.get("language") or options.get("task")):
            raise BadInput(
                "options.language and options.task", "given", "left out: this model knows one only"
            )
        return read_word(options, "language", self.languages), read_word(options, "task", self.tasks)

    def prompt(self, language: str | None, task: str | None) -> list[int]:
        """Start, language, task, no timestamps; or what the model forces, where it knows one language."""
        ids = [self.start]
        if language is not None:
            ids += [self.languages[language], self.tasks.get(task or "transcribe", -1)]
        else:
            ids += self.forced
        if self.no_timestamps is not None and ids[-1] != self.no_timestamps:
            ids.append(self.no_timestamps)
        return [token for token in ids if token >= 0]

    def limit(self, n_prompt: int, options: dict[str, Any]) -> int:
        """How many tokens may be made: what is asked for, within what the model can hold."""
        room = self.max_length - n_prompt
        return min(read_count(options, "max_new_tokens", room), room)


def _codes(tokens: dict[str, int]) -> dict[str, int]:
    return {token.removeprefix("<|").removesuffix("|>"): number for token, number in tokens.items()}
