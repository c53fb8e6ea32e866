"""Prompts: texts, chats, lists of both; what is no prompt is named."""

from __future__ import annotations

from typing import Any

import pytest

from browser_runtime.contract.errors import BadInput, TooLarge
from browser_runtime.contract.vocabulary import Family
from tasks.inputs.limits import InputLimits
from tasks.inputs.normalise import normalise

HELLO = {"role": "user", "content": "Hello"}
REPLY = {"role": "assistant", "content": "Hi!"}


def read(inputs: Any, limits: InputLimits | None = None) -> tuple[Any, bool]:
    plain = normalise(Family.TEXT_GENERATION, inputs, limits or InputLimits())
    return plain.inputs["prompts"], plain.single


@pytest.mark.parametrize(
    ("inputs", "prompts", "single"),
    [
        ("Once", ["Once"], True),
        ([HELLO, REPLY, HELLO], [[HELLO, REPLY, HELLO]], True),
        (["Once", [HELLO]], ["Once", [HELLO]], False),
        ([[HELLO], [HELLO, REPLY]], [[HELLO], [HELLO, REPLY]], False),
        ({"prompt": "Once"}, ["Once"], True),
        ({"messages": [HELLO]}, [[HELLO]], True),
        ({"success": True, "output": {"text": "heard"}}, ["heard"], True),
    ],
)
def test_every_form_of_a_prompt(inputs: Any, prompts: list[Any], single: bool) -> None:
    assert read(inputs) == (prompts, single)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (7, "inputs is of type int, but must be a text, or a list of messages"),
        ([{"role": "robot", "content": "x"}], r"inputs\[0\]\.role is 'robot', but must be one of system"),
        ([{"role": "user", "content": 7}], r"inputs\[0\]\.content is of type int, but must be a text\."),
        (
            [{"role": "user", "text": "x"}],
            r"inputs\[0\] is holding 'text', but must be made of role and content",
        ),
        ([[HELLO, "x"]], r"inputs\[0\]\[1\] is of type str"),
        ("half \ud800", "lone surrogate"),
    ],
)
def test_what_is_no_prompt_is_named(inputs: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(inputs)


def test_a_chat_counts_as_its_texts_do() -> None:
    with pytest.raises(TooLarge):
        read([{"role": "user", "content": "x" * 60}] * 2, InputLimits(max_text_bytes=100))
