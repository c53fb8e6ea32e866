"""One prompt of text generation: a text that is gone on with, or the messages of a chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from browser_runtime.contract.errors import BadInput
from tasks.inputs.limits import InputLimits
from tasks.inputs.notes import Note, ignore
from tasks.inputs.readers import Chat, ItemReader
from tasks.inputs.texts import read_text

ALLOWED = 'a text, or a list of messages {"role": "user", "content": "..."}'
ROLES = ("system", "user", "assistant")
# A conversation of a thousand turns is longer than any model's context.
MAX_MESSAGES = 1000


def is_chat(value: object) -> bool:
    """True for a list of messages, which is one prompt and not a batch of them."""
    return isinstance(value, (list, tuple)) and bool(value) and all(map(_is_message, value))


def _is_message(value: object) -> bool:
    return isinstance(value, Mapping) and "role" in value


def read_prompt(
    value: object, limits: InputLimits, field: str, allow_paths: bool = True, note: Note = ignore
) -> str | Chat:
    """The text or the messages in `value`, which may be `{"prompt": ...}` or `{"messages": [...]}`.

    Raises BadInput.
    """
    if isinstance(value, Mapping) and len(value) == 1:
        value = next((value[key] for key in ("prompt", "messages", "text") if key in value), value)
    if isinstance(value, str):
        return read_text(value, limits, field)
    if isinstance(value, (list, tuple)):
        return _read_chat(value, limits, field)
    raise BadInput(field, f"of type {type(value).__name__}", ALLOWED)


def _read_chat(messages: Sequence[object], limits: InputLimits, field: str) -> Chat:
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise BadInput(field, f"a chat of {len(messages)} messages", f"1 to {MAX_MESSAGES} messages")
    return [_read_message(message, limits, f"{field}[{at}]") for at, message in enumerate(messages)]


def _read_message(message: object, limits: InputLimits, field: str) -> dict[str, str]:
    if not isinstance(message, Mapping):
        raise BadInput(field, f"of type {type(message).__name__}", ALLOWED)
    for key in message:
        if key not in ("role", "content"):
            raise BadInput(field, f"holding {str(key)[:100]!r}", "made of role and content")
    if message.get("role") not in ROLES:
        raise BadInput(f"{field}.role", repr(message.get("role"))[:100], "one of " + ", ".join(ROLES))
    return {
        "role": str(message["role"]),
        "content": read_text(message.get("content"), limits, f"{field}.content", allowed="a text"),
    }


READER = ItemReader(read_prompt, read_prompt, is_item=is_chat)
