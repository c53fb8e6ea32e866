"""Items that hold texts, alone or beside an array: what models of two kinds of input take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from browser_runtime.contract.errors import BadInput
from tasks.inputs.limits import InputLimits
from tasks.inputs.notes import Note, ignore
from tasks.inputs.readers import Item, ItemReader
from tasks.inputs.texts import read_text

# An ImageNet of labels.
MAX_TEXTS = 1000
# What stands beside the text in an earlier task's answer: a transcript, or text that was generated.
OF_ANSWERS = {
    *("tokens", "chunks", "duration_s", "finish_reason"),
    *("prompt_tokens", "image_tokens", "generated_tokens", "reused_tokens"),
}


def with_texts(reader: ItemReader, key: str) -> ItemReader:
    """The reader of arrays, taking `{key: an array, "text": a text or a list of texts}` and its parts too.

    Such an item is plain as `{key: the array, "texts": [str, ...]}`, either part left out where it was.
    """

    def read(
        value: object, limits: InputLimits, field: str, allow_paths: bool = True, note: Note = ignore
    ) -> Item:
        if not isinstance(value, Mapping) or "text" not in value:
            return reader.read(value, limits, field, allow_paths, note)
        item: dict[str, Any] = {"texts": read_texts(value["text"], limits, f"{field}.text")}
        if key in value:
            item[key] = reader.read(_without_text(value), limits, field, allow_paths, note)
        elif unknown := [name for name in value if name != "text" and name not in OF_ANSWERS]:
            raise BadInput(field, f"holding {str(unknown[0])[:100]!r}", f"made of {key} and text")
        return item

    def synthesize(value: object, limits: InputLimits, field: str) -> Item | None:
        if not isinstance(value, Mapping) or "text" not in value:
            return reader.synthesize(value, limits, field)
        made = reader.synthesize(_without_text(value), limits, field) if key in value else None
        return (
            None if made is None else {"texts": read_texts(value["text"], limits, f"{field}.text"), key: made}
        )

    def check(item: object, limits: InputLimits, field: str) -> None:
        if not isinstance(item, dict) or "texts" not in item:
            reader.check(item, limits, field)
            return
        if not set(item) <= {key, "texts"}:
            raise BadInput(field, f"a dict of {', '.join(map(str, item)) or 'nothing'}", f"{key} and texts")
        read_texts(item["texts"], limits, f"{field}.texts")
        if key in item:
            reader.check(item[key], limits, f"{field}.{key}")

    return replace(reader, read=read, check=check, synthesize=synthesize)


def read_texts(value: object, limits: InputLimits, field: str) -> list[str]:
    """The texts of one item. Raises BadInput."""
    if isinstance(value, str):
        return [read_text(value, limits, field)]
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= MAX_TEXTS:
        shown = f"of type {type(value).__name__}"
        if isinstance(value, (list, tuple)):
            shown = f"a list of {len(value)} texts"
        raise BadInput(field, shown, f"a text or a list of 1 to {MAX_TEXTS} texts")
    return [read_text(text, limits, f"{field}[{at}]") for at, text in enumerate(value)]


def _without_text(value: Mapping[str, object]) -> dict[str, object]:
    return {name: part for name, part in value.items() if name != "text"}
