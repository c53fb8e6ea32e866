"""Decoding of Whisper: its prompt, the tokens it may not choose, and the most tokens.

Source: transformers 5.24, models/whisper/generation_whisper.py: `_retrieve_init_tokens`,
`_set_language_and_task`, `_set_max_new_tokens_and_length`, `_retrieve_logit_processors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NotRequired, Self, TypedDict

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.configuration.decoding_rules import FORCED, MOST, RULES
from browser_runtime.models.configuration.fields import Fields, whole
from browser_runtime.models.configuration.languages import CODES

FILE = "generation_config.json"
# What Whisper's own config.json files say, for one that does not.
MAX_TARGET_POSITIONS = 448
# The place of the language that the model recognises, in a prompt.
RECOGNISED = -1


class Stamps(TypedDict):
    """The time stamps of a model."""

    begin: int
    """The first one, of 0 seconds; all tokens from it on are stamps."""
    end: int
    """The token that ends a transcript."""
    most_first: int | None
    """The highest stamp that may be the first token, counted from 0; None: any."""


class DecodingChoices(TypedDict):
    """The choices that a run follows."""

    before: list[int]
    """The prompt, up to the language if that is recognised."""
    languages: list[int]
    """The tokens that the language may be; empty if it is not recognised."""
    after: list[int]
    """The rest of the prompt."""
    max_new_tokens: int
    stamps: NotRequired[Stamps]
    """Given where the transcript is to have time stamps."""


@dataclass(frozen=True, slots=True)
class DecodingPlan:
    """The way a model is decoded before a request chooses anything."""

    start: int
    ends: tuple[int, ...]
    """Tokens that end a transcript."""
    languages: dict[str, int]
    """Token by code ("en"); empty for a model of one language."""
    tasks: dict[str, int]
    language: int | None
    """The language that the files choose."""
    task: int | None
    forced: tuple[int | None, ...]
    """Tokens after the start unless a language or task is chosen; None is left to the model, or left out."""
    no_timestamps: int | None
    has_stamps: bool
    """Whether the vocabulary has tokens behind `no_timestamps`."""
    most_first: int | None
    """See `Stamps`."""
    never: tuple[int, ...]
    """Tokens that are never chosen."""
    not_first: tuple[int, ...]
    """Tokens that are not chosen first either."""
    max_length: int | None
    """The most new tokens, by the older key."""
    max_new_tokens: int | None
    positions: int
    """Tokens that the decoder has room for, the prompt included."""
    takes_choices: bool
    """False: a request may name neither language nor task."""

    @classmethod
    def of(cls, generation: Any, config: Mapping[str, Any]) -> Self:
        """The plan in the two files. Raises BadInput for what is not done here, by key and value."""
        fields = Fields(FILE, generation)
        fields.hold_to(RULES, "greedy decoding")
        for key in ("decoder_start_token_id", "eos_token_id"):
            if fields.get(key) is None:
                raise fields.refusal(key, RULES[key].allowed)
        ends = fields.get("eos_token_id")
        plan = cls(
            start=fields.get("decoder_start_token_id"),
            ends=tuple(ends) if isinstance(ends, list) else (ends,),
            languages=_codes(fields.get("lang_to_id", {})),
            tasks=fields.get("task_to_id", {}),
            language=None,
            task=None,
            forced=_read_forced(fields, config),
            no_timestamps=fields.get("no_timestamps_token_id"),
            has_stamps=_has_stamps(fields.get("no_timestamps_token_id"), config),
            most_first=fields.get("max_initial_timestamp_index"),
            never=_barred(fields, "suppress_tokens"),
            not_first=_barred(fields, "begin_suppress_tokens"),
            max_length=fields.get("max_length"),
            max_new_tokens=fields.get("max_new_tokens"),
            positions=_read_positions(config),
            takes_choices=fields.get("is_multilingual", True),
        )
        return plan._with_choices_of(fields, Fields("config.json", dict(config)))

    def _with_choices_of(self, fields: Fields, config: Fields) -> Self:
        """With the files' own language and task. Raises BadInput for ones that the model has not."""
        language, task = fields.get("language"), fields.get("task")
        chosen = self
        if language is not None:
            number = self.find_language(language)
            if number is None:
                raise fields.refusal("language", self.allowed_languages)
            chosen = replace(chosen, language=number)
        if task is not None:
            if task not in self.tasks:
                raise fields.refusal("task", f"one of task_to_id: {', '.join(self.tasks) or 'it has none'}")
            chosen = replace(chosen, task=self.tasks[task])
        chosen._require_room(config)
        return chosen

    def _require_room(self, config: Fields) -> None:
        """Raises BadInput if the prompt and the files' own max_new_tokens, or one token, do not fit."""
        needed = len(self.prompt({})) + (self.max_new_tokens or 1)
        if needed > self.positions:
            raise config.refusal(
                "max_target_positions", f"at least {needed}, for the prompt and what follows it"
            )

    @property
    def allowed_languages(self) -> str:
        """The languages there are, in words."""
        codes = ", ".join(sorted(self.languages))
        return (
            f"one of {codes}, or such a language's name" if codes else "left out: the model has no lang_to_id"
        )

    def find_language(self, word: str) -> int | None:
        """The token of a language, by its code, name or token; None if the model does not know it."""
        plain = word.lower()
        code = plain.removeprefix("<|").removesuffix("|>")
        return self.languages.get(CODES.get(plain, code))

    def choose(self, options: Mapping[str, Any]) -> DecodingChoices:
        """The choices of a run: its prompt, around a language to recognise or none, and its most tokens.

        Raises BadInput for a language, a task or a length that the model has not.
        """
        prompt = self.prompt(options)
        is_recognised = RECOGNISED in prompt
        at = prompt.index(RECOGNISED) if is_recognised else len(prompt)
        choices: DecodingChoices = {
            "before": prompt[:at],
            "languages": sorted(self.languages.values()) if is_recognised else [],
            "after": prompt[at + 1 :],
            "max_new_tokens": self._limit(len(prompt), options.get("max_new_tokens")),
        }
        return {**choices, "stamps": self.stamps} if options.get("return_timestamps") else choices

    @property
    def stamps(self) -> Stamps:
        """The model's time stamps. Raises BadInput where it has none."""
        if self.no_timestamps is None or not self.has_stamps:
            raise BadInput(
                "options.return_timestamps", "True", "left out or False: this model has no time stamps"
            )
        return {"begin": self.no_timestamps + 1, "end": self.ends[0], "most_first": self.most_first}

    def example(self) -> DecodingChoices:
        """The choices of the warm-up: no language is recognised, and two tokens are made.

        Two run both branches of a merged decoder: without a cache and with it.
        """
        choices = self.choose({})
        after = choices["languages"][:1] + choices["after"]
        return choices | {
            "languages": [],
            "after": after,
            "max_new_tokens": min(choices["max_new_tokens"], 2),
        }

    def prompt(self, options: Mapping[str, Any]) -> list[int]:
        """The tokens that a transcript starts from; RECOGNISED where the model finds the language itself."""
        language, task = self._choices(options)
        tokens: list[int | None] = [self.start]
        if language is None and task is None:
            tokens += self.forced
        if language is not None:
            tokens[1:2] = [language]
        elif self.languages and tokens[1:2] in ([], [None]):
            tokens[1:2] = [RECOGNISED]
        if task is not None:
            tokens.append(task)
        elif language is not None and "transcribe" in self.tasks:
            tokens.append(self.tasks["transcribe"])
        if options.get("return_timestamps"):
            tokens = [token for token in tokens if token != self.stamps["begin"] - 1]
        elif self.no_timestamps is not None and tokens[-1] != self.no_timestamps:
            tokens.append(self.no_timestamps)
        return [token for token in tokens if token is not None]

    def _choices(self, options: Mapping[str, Any]) -> tuple[int | None, int | None]:
        """Tokens of the language and the task: the request's, else the files'."""
        word, task = options.get("language"), options.get("task")
        if not self.takes_choices and (word is not None or task is not None):
            raise BadInput(
                "options.language" if task is None else "options.task", repr(task or word), ONE_LANGUAGE
            )
        language = self.language if word is None else self.find_language(word)
        if word is not None and language is None:
            raise BadInput("options.language", repr(word), self.allowed_languages)
        if task is not None and task not in self.tasks:
            raise BadInput(
                "options.task", repr(task), f"one of {', '.join(self.tasks)}" if self.tasks else ONE_LANGUAGE
            )
        return language, self.task if task is None else self.tasks[task]

    def _limit(self, n_prompt: int, asked: int | None) -> int:
        """The most tokens that may follow the prompt."""
        room = self.positions - n_prompt
        if asked is not None and asked > room:
            allowed = (
                f"at most {room}: the model has {self.positions} positions, and its prompt takes {n_prompt}"
            )
            raise BadInput("options.max_new_tokens", str(asked), allowed)
        if asked is not None or self.max_new_tokens is not None:
            return asked or min(self.max_new_tokens or room, room)
        if self.max_length is None:
            return room
        # transformers counts the prompt on top, unless it takes half of the positions.
        return min(self.max_length + min(n_prompt, self.positions // 2 - 1), self.positions) - n_prompt


WHOLE = whole(MOST)
ONE_LANGUAGE = "left out: this model knows one language and one task only"


def _codes(tokens: Mapping[str, int]) -> dict[str, int]:
    return {token.lower().removeprefix("<|").removesuffix("|>"): number for token, number in tokens.items()}


def _barred(fields: Fields, key: str) -> tuple[int, ...]:
    return tuple(token for token in fields.get(key, []) if token >= 0)


def _read_forced(fields: Fields, config: Mapping[str, Any]) -> tuple[int | None, ...]:
    """forced_decoder_ids, else those of config.json, the older place; where they do not begin at 1, none."""
    pairs = fields.get("forced_decoder_ids")
    if pairs is None:
        pairs = Fields("config.json", dict(config)).read("forced_decoder_ids", [], FORCED)
    return tuple(token for _, token in pairs) if pairs and pairs[0][0] == 1 else ()


def _has_stamps(no_timestamps: int | None, config: Mapping[str, Any]) -> bool:
    """Whether config.json leaves room for tokens behind `no_timestamps`."""
    size = Fields("config.json", dict(config)).read("vocab_size", None, WHOLE)
    return no_timestamps is not None and (size is None or size > no_timestamps + 1)


def _read_positions(config: Mapping[str, Any]) -> int:
    positions = Fields("config.json", dict(config)).read(
        "max_target_positions", MAX_TARGET_POSITIONS, whole(MOST, 4)
    )
    return int(positions)
