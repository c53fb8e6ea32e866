"""Whisper's greedy decoding over a merged decoder graph with its key-value cache.

Source: Hugging Face's WhisperForConditionalGeneration.generate for one window without timestamps, and
optimum's merged decoders (`use_cache_branch`, `past_key_values.<layer>.<decoder|encoder>.<key|value>`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.errors import BadInput
from browser_runtime.simulation.choices import read_count, read_word
from browser_runtime.simulation.graphs import Array, Graph, require_finite

# What a Whisper says where its generation_config names no length.
MAX_LENGTH = 448


@dataclass(frozen=True)
class DecodingPlan:
    """What generation_config.json asks for."""

    start: int
    end: int
    no_timestamps: int | None
    languages: dict[str, int]
    """Token by code; empty for a model of one language."""
    tasks: dict[str, int]
    max_length: int
    suppressed: tuple[int, ...]
    suppressed_first: tuple[int, ...]

    @classmethod
    def of(cls, config: dict[str, Any], generation: dict[str, Any]) -> DecodingPlan:
        """The plan in the two configs, generation_config.json before config.json."""
        told = {**config, **{key: value for key, value in generation.items() if value is not None}}
        multilingual = bool(told.get("is_multilingual"))
        length = min(told.get("max_length") or MAX_LENGTH, config.get("max_target_positions", MAX_LENGTH))
        return cls(
            start=told["decoder_start_token_id"],
            end=_first(told["eos_token_id"]),
            no_timestamps=told.get("no_timestamps_token_id"),
            languages=_codes(told.get("lang_to_id") or {}) if multilingual else {},
            tasks=(told.get("task_to_id") or {}) if multilingual else {},
            max_length=length,
            suppressed=tuple(told.get("suppress_tokens") or ()),
            suppressed_first=tuple(told.get("begin_suppress_tokens") or ()),
        )

    def prompt(self, options: dict[str, Any]) -> list[int]:
        """The ids that decoding starts from. Raises BadInput for a language or task the model lacks."""
        language = self._choose(options, "language", self.languages, "en")
        task = self._choose(options, "task", self.tasks, "transcribe")
        ids = [self.start, language, task, self.no_timestamps]
        return [token for token in ids if token is not None]

    def _choose(self, options: dict[str, Any], name: str, known: dict[str, int], standard: str) -> int | None:
        if not known and options.get(name) is not None:
            raise BadInput(f"options.{name}", repr(options[name]), "left out: this model knows only one")
        return known.get(read_word(options, name, known) or standard)

    def limit(self, options: dict[str, Any]) -> int:
        """How many ids may be made at most."""
        room = self.max_length - len(self.prompt(options))
        return min(read_count(options, "max_new_tokens", room), room)


def _first(value: int | list[int]) -> int:
    return value[0] if isinstance(value, list) else value


def _codes(tokens: dict[str, int]) -> dict[str, int]:
    return {token.removeprefix("<|").removesuffix("|>"): number for token, number in tokens.items()}


class Decoder:
    """A merged decoder: the first step without a cache, the others with it."""

    def __init__(self, graph: Graph, config: dict[str, Any]) -> None:
        self._graph = graph
        heads = config["decoder_attention_heads"]
        self._empty = np.zeros((1, heads, 0, config["d_model"] // heads), np.float32)
        self._past = [name for name in graph.inputs if name.startswith("past_key_values.")]

    def decode(self, hidden: Array, plan: DecodingPlan, options: dict[str, Any]) -> list[int]:
        """The ids made from the encoder's states [1, positions, width], prompt and end left out."""
        made: list[int] = []
        ids, cache = plan.prompt(options), dict.fromkeys(self._past, self._empty)
        for _ in range(plan.limit(options)):
            logits, cache = self._step(ids, hidden, cache, cached=bool(made))
            token = _choose_token(logits, plan, first=not made)
            if token == plan.end:
                break
            made.append(token)
            ids = [token]
        return made

    def _step(
        self, ids: list[int], hidden: Array, cache: dict[str, Array], cached: bool
    ) -> tuple[Array, dict[str, Array]]:
        feeds = {
            "input_ids": np.array([ids], np.int64),
            "encoder_hidden_states": hidden,
            "use_cache_branch": np.array([cached]),
        }
        outputs = self._graph.run(feeds | cache)
        fresh = {name: outputs[name.replace("past_key_values", "present")] for name in self._past}
        # With a cache the graph returns nothing new for the encoder's part, which never changes.
        kept = {name: cache[name] if cached and ".encoder." in name else fresh[name] for name in self._past}
        return require_finite(outputs["logits"][0, -1], "logit"), kept


def _choose_token(logits: Array, plan: DecodingPlan, first: bool) -> int:
    """The likeliest id that may come here."""
    barred = [*plan.suppressed, *(plan.suppressed_first if first else ())]
    allowed = logits.copy()
    allowed[[token for token in barred if 0 <= token < len(logits)]] = -np.inf
    return int(allowed.argmax())
