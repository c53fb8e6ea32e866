"""One text of a text family."""

from __future__ import annotations

from browser_runtime.contract.errors import BadInput
from tasks.inputs.limits import InputLimits
from tasks.inputs.notes import Note, ignore
from tasks.inputs.readers import ItemReader

ALLOWED = "a text or a list of texts"


def read_text(
    value: object,
    limits: InputLimits,
    field: str,
    allow_paths: bool = True,
    note: Note = ignore,
    allowed: str = ALLOWED,
) -> str:
    """The text in `value`: a str, or `{"text": str}`. Raises BadInput.

    An empty text is one: most tokenizers put their special tokens around it, and a transcription of silence
    is followed by what follows others.
    """
    if isinstance(value, dict) and "text" in value:
        value = value["text"]
    if not isinstance(value, str):
        raise BadInput(field, f"of type {type(value).__name__}", allowed)
    if len(value) > limits.max_text_characters:
        raise BadInput(
            field, f"a text of {len(value)} characters", f"at most {limits.max_text_characters} long"
        )
    return _checked(value, field)


def _checked(text: str, field: str) -> str:
    """`text`, which can be written as UTF-8: a lone surrogate could not travel."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(field, f"a text with a lone surrogate at {error.start}", "valid Unicode") from error
    return str(text)


READER = ItemReader(read_text, read_text)
