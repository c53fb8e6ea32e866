"""One item of a multimodal model: images with texts, a prompt or a chat about images.

What images and texts alone are is `images.py`'s; a prompt or a chat is plain as
`{"images": [array, ...], "prompt": str}` or `{"images": [...], "messages": [...]}`, where the content of a
message is a text or a list of the parts `{"type": "image"}` and `{"type": "text", "text": ...}`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from browser_runtime.contract.errors import BadInput
from tasks.inputs import images
from tasks.inputs.limits import InputLimits
from tasks.inputs.notes import Note, ignore
from tasks.inputs.prompts import MAX_MESSAGES, ROLES, is_chat
from tasks.inputs.readers import Item, ItemReader
from tasks.inputs.texts import read_text

# Tokens of images fill a model's positions long before.
MAX_IMAGES = 64
ABOUT_IMAGES = ("messages", "prompt", "text", "texts")
ALLOWED = 'a text, or a list of {"type": "text", "text": ...} and {"type": "image", "image": ...}'


class _Reading:
    """The images of one item, in the order in which its prompt shows them."""

    def __init__(self, limits: InputLimits, field: str, allow_paths: bool, note: Note) -> None:
        self._limits, self._field, self._allow_paths, self._note = limits, field, allow_paths, note
        self.images: list[Any] = []

    def take_image(self, value: object, field: str) -> None:
        """Keep one more image."""
        if len(self.images) == MAX_IMAGES:
            raise BadInput(self._field, f"more than {MAX_IMAGES} images", f"at most {MAX_IMAGES}")
        self.images.append(images.read_image(value, self._limits, field, self._allow_paths, self._note))

    def take_images(self, value: Mapping[str, Any]) -> None:
        """Keep those under `image` or `images`."""
        if "image" in value and "images" in value:
            raise BadInput(self._field, "holding 'image' and 'images'", "one of the two")
        given = value.get("images", [value["image"]] if "image" in value else [])
        if not isinstance(given, (list, tuple)):
            raise BadInput(f"{self._field}.images", f"of type {type(given).__name__}", "a list of images")
        for at, image in enumerate(given):
            self.take_image(image, f"{self._field}.images[{at}]")

    def read_chat(self, messages: object) -> list[dict[str, Any]]:
        """The messages, the images in them kept and left out. Raises BadInput."""
        field = f"{self._field}.messages"
        if not isinstance(messages, (list, tuple)) or not 1 <= len(messages) <= MAX_MESSAGES:
            shown = f"of {len(messages)} messages" if isinstance(messages, (list, tuple)) else "no list"
            raise BadInput(field, shown, f"a list of 1 to {MAX_MESSAGES} messages")
        return [self._read_message(message, f"{field}[{at}]") for at, message in enumerate(messages)]

    def _read_message(self, message: object, field: str) -> dict[str, Any]:
        if not isinstance(message, Mapping):
            raise BadInput(field, f"of type {type(message).__name__}", "a message of role and content")
        for key in message:
            if key not in ("role", "content"):
                raise BadInput(field, f"holding {str(key)[:100]!r}", "made of role and content")
        if message.get("role") not in ROLES:
            raise BadInput(f"{field}.role", repr(message.get("role"))[:100], "one of " + ", ".join(ROLES))
        content = message.get("content")
        if isinstance(content, (list, tuple)):
            return {"role": str(message["role"]), "content": self._read_parts(content, f"{field}.content")}
        text = read_text(content, self._limits, f"{field}.content", allowed=ALLOWED)
        return {"role": str(message["role"]), "content": text}

    def _read_parts(self, parts: Sequence[object], field: str) -> list[dict[str, str]]:
        if not 1 <= len(parts) <= MAX_MESSAGES:
            raise BadInput(field, f"a list of {len(parts)} parts", f"1 to {MAX_MESSAGES} parts")
        return [self._read_part(part, f"{field}[{at}]") for at, part in enumerate(parts)]

    def _read_part(self, part: object, field: str) -> dict[str, str]:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if not isinstance(part, Mapping) or kind not in ("text", "image") or not set(part) <= {"type", kind}:
            raise BadInput(field, repr(part)[:100], ALLOWED)
        if kind == "image":
            if "image" in part:
                self.take_image(part["image"], f"{field}.image")
            return {"type": "image"}
        return {"type": "text", "text": read_text(part.get("text"), self._limits, f"{field}.text")}


def read_item(
    value: object, limits: InputLimits, field: str, allow_paths: bool = True, note: Note = ignore
) -> Item:
    """The plain item in any accepted form. Raises BadInput, TooLarge."""
    if is_chat(value):
        value = {"messages": value}
    if not isinstance(value, Mapping) or not ({"messages", "prompt"} & set(value) or "images" in value):
        return images.READER.read(value, limits, field, allow_paths, note)
    kinds = [key for key in ABOUT_IMAGES if key in value]
    if len(kinds) != 1:
        given = " and ".join(map(repr, kinds)) or "images alone"
        raise BadInput(field, f"holding {given}", "images with one of messages, prompt and text")
    for key in value:
        if key not in ("image", "images", *kinds):
            raise BadInput(field, f"holding {str(key)[:100]!r}", f"made of images and {kinds[0]}")
    reading = _Reading(limits, field, allow_paths, note)
    if kinds == ["messages"]:
        # Images beside a chat are for the places in it that name none.
        messages = reading.read_chat(value["messages"])
        if reading.images and {"image", "images"} & set(value):
            raise BadInput(field, "holding images both in and beside its messages", "one of the two")
        reading.take_images(value)
        return {"images": reading.images, "messages": messages}
    reading.take_images(value)
    told = value[kinds[0]]
    if kinds == ["prompt"]:
        return {"images": reading.images, "prompt": read_text(told, limits, f"{field}.prompt")}
    listed = list(told) if isinstance(told, (list, tuple)) else [told]
    if len(listed) != 1:
        raise BadInput(f"{field}.text", f"a list of {len(listed)} texts", "one text about several images")
    return {"images": reading.images, "texts": [read_text(listed[0], limits, f"{field}.text")]}


def check_item(item: object, limits: InputLimits, field: str) -> None:
    """Returns if the item is plain, where it arrives. Raises BadInput, TooLarge."""
    if not isinstance(item, dict) or "images" not in item:
        images.READER.check(item, limits, field)
        return
    shown = item["images"]
    if not isinstance(shown, list) or len(shown) > MAX_IMAGES:
        raise BadInput(f"{field}.images", f"of type {type(shown).__name__}", f"at most {MAX_IMAGES} images")
    for at, image in enumerate(shown):
        images.check_image(image, limits, f"{field}.images[{at}]")
    read_item({**item, "images": []}, limits, field, allow_paths=False)


READER = ItemReader(read_item, check_item, is_item=is_chat, synthesize=images.READER.synthesize)
