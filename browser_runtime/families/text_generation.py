"""Text generation: prompts and chats to tokens before a page, the text of what it generates after."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.families.processor import Options, Output, Processor
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.configuration.fields import ANYTHING, FLAG, Fields, Rule, is_number, is_whole
from browser_runtime.models.files.json_files import read_object
from browser_runtime.models.manifest import StoredModel
from browser_runtime.texts.chat_template import ChatTemplate
from browser_runtime.texts.emission import TextEmitter
from browser_runtime.texts.tokenizer import open_tokenizer, refuse_untokenizable
from browser_runtime.texts.tokenizer_config import SPECIAL_TOKENS, TokenizerConfig

SAMPLE = "Once upon a time"
# Longer answers are asked for; a model that never stops ends here.
DEFAULT_NEW_TOKENS = 256
TRIAL_TOKENS = 4
# Prompt and answer together, of any model (page/engines/low_bits/model.js).
MOST_TOKENS = 2048
CONFIG, MODEL_CONFIG = "generation_config.json", "config.json"
SAMPLING: dict[str, Rule] = {
    "do_sample": FLAG,
    "temperature": Rule("a number of at least 0", lambda value: is_number(value) and value >= 0),
    "top_k": Rule("a whole number", lambda value: is_whole(value, 1 << 30, 0)),
    "top_p": Rule("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1),
    "repetition_penalty": Rule("a number above 0", lambda value: is_number(value) and value > 0),
}
# Keys that change nothing here: what trains, stores or formats, or is chosen by the request.
WITHOUT_EFFECT = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "transformers_version"),
    *(
        "_from_model_config",
        "max_length",
        "max_new_tokens",
        "use_cache",
        "cache_implementation",
        "trust_remote_code",
    ),
    *("output_attentions", "output_hidden_states", "output_scores", "return_dict_in_generate"),
)
# What a page's generator of numbers by chance adds to its state for each (page/kernels/random.js).
SEED_STEP, SEEDS = 0x6D2B79F5, 1 << 32


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt's tokens, and those that an earlier run of the same request has generated already."""

    ids: np.ndarray[tuple[int], np.dtype[np.int32]]
    earlier: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Its size in a frame."""
        return int(self.ids.nbytes)

    @property
    def counts(self) -> dict[str, int]:
        """Tokens of its parts, as a reply tells them."""
        return {}

    def to_wire(self) -> dict[str, Any]:
        """The item as it goes to a page: a resumed one goes on behind its earlier tokens."""
        tokens = np.concatenate([self.ids, np.asarray(self.earlier, np.int32)])
        return {"ids": tokens, "n_prompt": len(self.ids)}


class GenerationProcessor(Processor):
    """The tokenizer, the chat template and the usual sampling of a model."""

    def __init__(self, folder: Path) -> None:
        """Reads the model's files. Raises BadInput, BadRequest."""
        config = TokenizerConfig(folder)
        self.tokenizer = open_tokenizer(folder / "tokenizer.json")
        config.apply(self.tokenizer)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        special = {name: token for name in SPECIAL_TOKENS if (token := config.token(name)) is not None}
        self._template = ChatTemplate.read(folder, special)
        self.shape = self.read_shape(read_object(folder / MODEL_CONFIG))
        self.max_positions = self.shape.max_positions
        self._fields = Fields(CONFIG, read_object(folder / CONFIG))
        self._fields.hold_to(SAMPLING | dict.fromkeys(WITHOUT_EFFECT, ANYTHING))
        self.stop_tokens = self._find_stops(folder, special.get("eos_token"))

    @classmethod
    def read_shape(cls, config: Mapping[str, Any]) -> DecoderShape:
        """The decoder in config.json. Raises BadInput."""
        return DecoderShape.of(config)

    def _find_stops(self, folder: Path, end: str | None) -> tuple[int, ...]:
        """The tokens that end an answer, as the model's configurations and its tokenizer name them."""
        found: list[Any] = []
        source = self._fields.get("eos_token_id")
        found += source if isinstance(source, list) else [source] if source is not None else []
        found += self.shape.eos
        if end is not None:
            found.append(self.tokenizer.token_to_id(end))
        if not all(type(token) is int for token in found):
            raise BadInput(
                f"eos_token_id of {CONFIG}", repr(found)[:100], "a token's number, or a list of them"
            )
        return tuple(sorted(set(found)))

    @classmethod
    def check(cls, folder: Path) -> None:
        """Returns if tokenizer and template can be used. Raises BadInput, BadRequest."""
        cls(folder)

    @classmethod
    def open(cls, model: StoredModel) -> Self:
        """The processor of a stored model. Raises BadInput, BadRequest."""
        return cls(model.folder)

    @property
    def settings(self) -> dict[str, Any]:
        """A usual prompt's tokens, its choices, and the longest text."""
        sample = self._encode(self.sample_items()[0], "sample").to_wire()
        return {"sample": sample, "example": self.choose({}), "max_positions": self.max_positions}

    def describe(self) -> dict[str, Any]:
        """Details for readers of a reply: `chat_template` is true for a model that takes chats."""
        return {"chat_template": self._template is not None}

    def choose(self, options: Options) -> dict[str, Any]:
        """The choices that a page samples by, and the tokens that end an answer."""
        seed = options.get("seed")
        return {
            "max_new_tokens": options.get("max_new_tokens", DEFAULT_NEW_TOKENS),
            "sampling": self._sampling(options)
            | {"seed": secrets.randbelow(SEEDS) if seed is None else seed},
            "stop_tokens": list(self.stop_tokens),
        }

    def _sampling(self, options: Options) -> dict[str, Any]:
        """A request's options before the model's own; without any the likeliest token is taken."""
        own = {key: self._fields.get(key) for key in SAMPLING if self._fields.get(key) is not None}
        if not own.pop("do_sample", False):
            own = {key: value for key, value in own.items() if key == "repetition_penalty"}
        else:
            own.setdefault("temperature", 1.0)
        given = {key: options[key] for key in SAMPLING if key in options}
        if given.keys() & {"top_k", "top_p"} and "temperature" not in own | given:
            given["temperature"] = 1.0
        return {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0} | own | given

    def encode(
        self, items: Sequence[Any], fields: Sequence[str], options: Options
    ) -> list[Prompt | BadInput]:
        """The tokens of each prompt; a BadInput in the place of one that has none."""
        encoded: list[Prompt | BadInput] = []
        for item, field in zip(items, fields, strict=True):
            try:
                encoded.append(self._encode(item, field))
            except BadInput as error:
                encoded.append(error)
        return encoded

    def _encode(self, item: Any, field: str) -> Prompt:
        if isinstance(item, str):
            text, is_chat = item, False
        elif self._template is None:
            raise BadInput(field, "a chat", "a text: the model has no chat template")
        else:
            text, is_chat = self._template.render(item), True
        with refuse_untokenizable(field):
            # A template writes every special token itself.
            ids = self.tokenizer.encode(text, add_special_tokens=not is_chat).ids
        if not ids:
            raise BadInput(field, "a prompt without a token", "a text with one at least")
        return Prompt(np.asarray(ids, np.int32))

    def count_characters(self, items: Sequence[Any]) -> int:
        """Characters of all prompts."""
        chats = [item if isinstance(item, list) else [{"content": item}] for item in items]
        return sum(len(str(message.get("content"))) for chat in chats for message in chat)

    def measure(self, item: Prompt) -> float:
        """Tokens of a prompt."""
        return float(len(item))

    def estimate_work(self, item: Prompt, options: Options) -> float:
        """Tokens of a prompt, and the most that may be generated: how many will be, nobody knows."""
        n_new = int(options.get("max_new_tokens", DEFAULT_NEW_TOKENS))
        return float(max(min(len(item) + n_new, self.max_positions, MOST_TOKENS), len(item)))

    def open_emitter(self, options: Options) -> TextEmitter:
        """A decoder of one item's tokens, which ends at the request's stop texts."""
        stops = options.get("stop", [])
        return TextEmitter(self.tokenizer, [stops] if isinstance(stops, str) else stops)

    def finish(self, output: Output) -> Output:
        """The output with the text of its tokens."""
        return output | {"text": self.tokenizer.decode(list(output["tokens"]), skip_special_tokens=True)}

    @property
    def trial_options(self) -> Options:
        """A few tokens show whether a model runs."""
        return {"max_new_tokens": TRIAL_TOKENS}

    def sample_items(self) -> list[Any]:
        """A prompt."""
        return [SAMPLE]

    def read_example(self, path_or_text: str) -> Any:
        """A question of a chat where the model takes any, else the beginning of a text."""
        return path_or_text if self._template is None else [{"role": "user", "content": path_or_text}]


def resume(item: Prompt, earlier: Sequence[int]) -> Prompt:
    """The prompt, to go on behind what an earlier run has generated."""
    return replace(item, earlier=tuple(earlier))


def resume_choices(choices: Mapping[str, Any], n_earlier: int) -> dict[str, Any]:
    """The choices for the tokens that are left: the chances go on where they were."""
    sampling = choices["sampling"]
    seed = (int(sampling["seed"]) + n_earlier * SEED_STEP) % SEEDS
    left = max(int(choices["max_new_tokens"]) - n_earlier, 1)
    return {**choices, "max_new_tokens": left, "sampling": sampling | {"seed": seed}}


PROCESSOR = GenerationProcessor
