"""A model's chat template: messages in, the prompt that it was trained on out.

Templates come from the Hub and are programs: they run in Jinja's sandbox, for a few seconds at most.
Source: transformers 5.24, `utils/chat_template_utils.py`, whose environment this one equals.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from browser_runtime.contract.errors import BadInput
from browser_runtime.models.files.json_files import read_object

# A usual template takes less than a millisecond for a long conversation.
LONGEST_S = 5.0
# The longest template of the models of 2026 has some 20,000 characters.
MAX_SOURCE_CHARACTERS = 200_000
FIELD = "chat_template"
PROCESSOR_FILES = ("processor_config.json", "chat_template.json")

Message = Mapping[str, Any]
"""A role and its content: a text, or a list of texts and images where a template takes one."""


class ChatTemplate:
    """A compiled template. Nothing changes after it is made, so any thread may use it."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """Compiles `source`; `special_tokens` are what it may name, as `bos_token`. Raises BadInput."""
        if len(source) > MAX_SOURCE_CHARACTERS:
            raise BadInput(FIELD, f"of {len(source)} characters", f"of at most {MAX_SOURCE_CHARACTERS}")
        self._special_tokens = dict(special_tokens)
        try:
            self._template = _environment().from_string(source)
        except TemplateError as error:
            raise BadInput(FIELD, f"not to be read ({error})", "a template of Jinja") from error

    @classmethod
    def read(cls, folder: Path, special_tokens: Mapping[str, str]) -> ChatTemplate | None:
        """The template in a model's folder; None where it has none. Raises BadInput.

        Files of processors, which models that read images have, go before those of tokenizers.
        """
        for name in PROCESSOR_FILES:
            stored = read_object(folder / name).get(FIELD)
            if isinstance(stored, str):
                return cls(stored, special_tokens)
        file = folder / "chat_template.jinja"
        if file.exists():
            return cls(file.read_text(encoding="utf-8"), special_tokens)
        stored = read_object(folder / "tokenizer_config.json").get(FIELD)
        if isinstance(stored, list):  # several by name, as transformers wrote them before version 4.48
            stored = next((t.get("template") for t in stored if t.get("name") == "default"), None)
        return None if stored is None else cls(str(stored), special_tokens)

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt for `messages`, up to where the answer begins. Raises BadInput."""
        values = {"messages": [dict(message) for message in messages], "add_generation_prompt": True}
        try:
            with _TimeLimit(LONGEST_S):
                return self._template.render(**self._special_tokens, **values)
        except TimeoutError as error:
            raise BadInput(FIELD, f"not done after {LONGEST_S:g} s", "one that ends") from error
        except Exception as error:  # a template may do whatever a sandboxed program can
            raise BadInput(
                "inputs", f"messages that the model's chat template refuses ({error})", "as it expects them"
            ) from error


class _TimeLimit:
    """Ends what runs within it in this thread, by TimeoutError: Jinja has no limit of its own."""

    def __init__(self, longest_s: float) -> None:
        self._end = time.monotonic() + longest_s

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if time.monotonic() > self._end:
            raise TimeoutError
        return self._trace


class _GenerationBlock(Extension):
    """`{% generation %}` marks the answer for training; here it changes nothing."""

    tags = {"generation"}  # noqa: RUF012  # Jinja's own way

    def parse(self, parser: Parser) -> list[Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationBlock, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """JSON without the escapes for HTML that Jinja's own filter makes."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _refuse(reason: str) -> NoReturn:
    raise jinja2.exceptions.TemplateError(reason)


def _now(layout: str) -> str:
    return datetime.now().strftime(layout)
