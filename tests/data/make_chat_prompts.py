"""Writes chat_prompts.json: what transformers makes of the conversations of tests/stand_ins/chat_templates.

Run once, in an environment of its own; the tests need no transformers:

    pip install transformers==5.24.0 jinja2==3.1.6
    PYTHONPATH=. python tests/data/make_chat_prompts.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

from tests.stand_ins.chat_templates import CONVERSATIONS, TEMPLATES, TOKENS


def render(template: str, conversation: list[dict[str, str]]) -> str | None:
    """The prompt; None where the template refuses the conversation."""
    try:
        (prompt,), _ = render_jinja_template(
            [conversation], chat_template=template, add_generation_prompt=True, **TOKENS
        )
    except jinja2.exceptions.TemplateError:
        return None
    return prompt


def main(target: Path) -> None:
    """Renders every conversation with every template."""
    prompts = {
        name: {title: render(template, messages) for title, messages in CONVERSATIONS.items()}
        for name, template in TEMPLATES.items()
    }
    target.write_text(json.dumps(prompts, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("chat_prompts.json"))
