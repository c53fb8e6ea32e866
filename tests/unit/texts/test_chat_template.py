"""Chat templates: the prompts that transformers makes, and templates that mean harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from browser_runtime.contract.errors import BadInput
from browser_runtime.texts import chat_template
from browser_runtime.texts.chat_template import ChatTemplate
from tests.stand_ins.chat_templates import CONVERSATIONS, TEMPLATES, TOKENS

# Made by transformers itself: tests/data/make_chat_prompts.py.
PROMPTS = json.loads((Path(__file__).parents[2] / "data/chat_prompts.json").read_text())
QUESTION = CONVERSATIONS["one question"]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("title", CONVERSATIONS)
def test_prompts_are_those_of_transformers(name: str, title: str) -> None:
    template = ChatTemplate(TEMPLATES[name], TOKENS)
    expected = PROMPTS[name][title]
    if expected is not None:
        assert template.render(CONVERSATIONS[title]) == expected
    else:
        with pytest.raises(BadInput, match="chat template refuses"):
            template.render(CONVERSATIONS[title])


def test_some_conversation_is_refused_and_most_are_not() -> None:
    refused = [title for prompts in PROMPTS.values() for title, prompt in prompts.items() if prompt is None]
    assert refused == ["with a system prompt"]


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ raise_exception.__globals__.os }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(source: str) -> None:
    with pytest.raises(BadInput):
        ChatTemplate(source, {}).render(QUESTION)


def test_a_template_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "LONGEST_S", 0.2)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    with pytest.raises(BadInput, match=r"not done after 0\.2 s"):
        ChatTemplate(endless, {}).render(QUESTION)


def test_a_broken_template_is_named() -> None:
    with pytest.raises(BadInput, match=r"chat_template.*not to be read"):
        ChatTemplate("{% for %}", {})


def test_the_file_comes_before_the_configuration(tmp_path: Path) -> None:
    assert ChatTemplate.read(tmp_path, {}) is None
    listed = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "listed"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": listed}))
    from_list = ChatTemplate.read(tmp_path, {})
    assert from_list is not None and from_list.render(QUESTION) == "listed"
    (tmp_path / "chat_template.jinja").write_text("from the file")
    from_file = ChatTemplate.read(tmp_path, {})
    assert from_file is not None and from_file.render(QUESTION) == "from the file"
