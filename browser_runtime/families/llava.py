"""Images and a prompt or a chat to text, as LLaVA and SmolVLM do it: images take the place of some tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from browser_runtime.contract.errors import BadInput
from browser_runtime.families.text_generation import MOST_TOKENS, GenerationProcessor, Prompt
from browser_runtime.families.vision import Pixels, draw_sample, read_picture
from browser_runtime.low_bits.shape import DecoderShape
from browser_runtime.models.configuration.pictures import PROCESSOR_FILE, PicturePlan, read_decoder
from browser_runtime.models.configuration.pixels import PixelPlan
from browser_runtime.models.configuration.preprocessors import IMAGES, read_preprocessor
from browser_runtime.models.files.json_files import read_object
from browser_runtime.models.manifest import StoredModel
from browser_runtime.texts.tokenizer import refuse_untokenizable

ALLOWED = "a prompt or a chat, with as many images as it has places for"
MARK = "webinfer-mark"


@dataclass(frozen=True, slots=True)
class PicturedPrompt(Prompt):
    """A prompt's tokens, and the images whose tokens stand among them."""

    images: tuple[Pixels, ...] = ()
    starts: tuple[int, ...] = ()
    """The place of the first token of each image, or of each tile where images are cut into tiles."""
    image_tokens: int = 0
    """Those of all images together."""

    @property
    def counts(self) -> dict[str, int]:
        """Tokens of its images, as a reply tells them."""
        return {"image_tokens": self.image_tokens}

    @property
    def nbytes(self) -> int:
        """Its size in a frame."""
        return int(self.ids.nbytes) + sum(image.nbytes for image in self.images)

    def to_wire(self) -> dict[str, Any]:
        """The item as it goes to a page."""
        return Prompt.to_wire(self) | {"images": list(self.images), "starts": list(self.starts)}


class PicturingProcessor(GenerationProcessor):
    """The tokenizer and chat template of a model, its pixel plan, and the tokens that an image takes."""

    def __init__(self, folder: Path, model: StoredModel | None = None) -> None:
        """Reads the model's files. Raises BadInput, BadRequest."""
        super().__init__(folder)
        self._model = model
        config = read_object(folder / "config.json")
        self.pixels = PixelPlan.of(read_preprocessor(folder, IMAGES), config, may_tile=True)
        self.plan = PicturePlan.of(config, read_object(folder / PROCESSOR_FILE), self.pixels)
        found = self.tokenizer.token_to_id(self.plan.token)
        if found != self.plan.token_id:
            where = f"{self.plan.token_id}, the number of {self.plan.token} in tokenizer.json: {found}"
            raise BadInput("image_token_index of config.json", where, "one number in both")
        self._takes_parts = self._template is not None and self._writes_parts()

    @classmethod
    def read_shape(cls, config: Mapping[str, Any]) -> DecoderShape:
        """The decoder in `text_config`. Raises BadInput."""
        return read_decoder(config)

    @classmethod
    def open(cls, model: StoredModel) -> Self:
        """The processor of a stored model. Raises BadInput, BadRequest."""
        return cls(model.folder, model)

    def _writes_parts(self) -> bool:
        """True for a template that writes lists of texts and images, False for one that takes texts alone."""
        assert self._template is not None
        parts = [{"type": "image"}, {"type": "text", "text": MARK}]
        try:
            written = self._template.render([{"role": "user", "content": parts}])
        except BadInput:
            return False
        return MARK in written and self.plan.token in written and json.dumps(MARK) not in written

    @property
    def settings(self) -> dict[str, Any]:
        """A usual prompt with its image, its choices, the longest text, and what becomes of images."""
        return super().settings | {
            "pixels": self.pixels.to_page(),
            "tokens_per_tile": self.plan.tokens_per_tile,
            "details": self.plan.details,
        }

    def describe(self) -> dict[str, Any]:
        """Details for readers of a reply."""
        return super().describe() | self.plan.details

    def _encode(self, item: Any, field: str) -> Prompt:
        images, text, is_chat = self._write(item, field)
        token = self.plan.token
        if (found := text.count(token)) != len(images):
            places = f"{len(images)} images for {found} places of {token}"
            raise BadInput(field, places, ALLOWED)
        expanded = self._expand(text, images, field)
        with refuse_untokenizable(field):
            ids = self.tokenizer.encode(expanded, add_special_tokens=not is_chat).ids
        if not ids:
            raise BadInput(field, "a prompt without a token", "a text with one at least")
        tokens = np.asarray(ids, np.int32)
        shown = np.flatnonzero(tokens == self.plan.token_id)
        starts = tuple(shown[:: self.plan.tokens_per_tile].tolist())
        return PicturedPrompt(tokens, images=tuple(images), starts=starts, image_tokens=len(shown))

    def _expand(self, text: str, images: Sequence[Pixels], field: str) -> str:
        """The text with the tokens of its images in place. Raises BadInput for more than a model takes."""
        grids = [self._cut(image, f"{field}.images[{at}]") for at, image in enumerate(images)]
        n_tokens = sum(rows * columns + 1 for rows, columns in grids) * self.plan.tokens_per_tile
        room = min(self.max_positions, MOST_TOKENS)
        if n_tokens >= room:
            raise BadInput(field, f"{n_tokens} tokens of images", f"at most {room - 1} tokens")
        first, *parts = text.split(self.plan.token)
        written = (f"{self.plan.write(*grid)}{part}" for grid, part in zip(grids, parts, strict=True))
        return first + "".join(written)

    def _cut(self, image: Pixels, field: str) -> tuple[int, int]:
        """The rows and columns of an image's tiles. Raises BadInput for one that has none."""
        if self.pixels.tiles is None:
            return 0, 0
        height, width = image.shape[:2]
        rows, columns = self.pixels.tiles.grid(height, width)
        if bool(rows) != bool(columns):
            raise BadInput(field, f"of {height} x {width} pixels", "an image that is not as thin")
        return rows, columns

    def _write(self, item: Any, field: str) -> tuple[list[Pixels], str, bool]:
        """The images and the prompt of an item; True for one that a template wrote."""
        if not isinstance(item, dict) or not {"prompt", "messages", "texts"} & set(item):
            raise BadInput(field, "an image alone", 'an image with a text: {"image": ..., "text": ...}')
        images = list(item.get("images", [item["image"]] if "image" in item else []))
        if "prompt" in item:
            return images, str(item["prompt"]), False
        messages = item.get("messages")
        if messages is None:
            if len(item["texts"]) != 1:
                raise BadInput(field, f"{len(item['texts'])} texts", "one text: CLIP compares several")
            shown = [{"type": "image"}] * len(images)
            messages = [{"role": "user", "content": [*shown, {"type": "text", "text": item["texts"][0]}]}]
        if self._template is None:
            allowed = f'{{"prompt": ...}} with {self.plan.token} for each image: it has no chat template'
            raise BadInput(field, "a text or a chat for the model", allowed)
        written = [self._write_message(message) for message in messages]
        return images, self._template.render(written), True

    def _write_message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """The message as the model's template takes it."""
        content = message["content"]
        if self._takes_parts:
            parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
            return {"role": message["role"], "content": parts}
        if isinstance(content, list):
            texts = (self.plan.token if part["type"] == "image" else part["text"] for part in content)
            content = "\n".join(texts)
        return {"role": message["role"], "content": content}

    def count_characters(self, items: Sequence[Any]) -> int:
        """Characters of all prompts."""
        return sum(len(text) for item in items for text in _texts_of(item))

    def sample_items(self) -> list[Any]:
        """An image with a prompt, which no template has to write."""
        return [{"images": [draw_sample()], "prompt": f"{self.plan.token} What is this?"}]

    def read_example(self, path_or_text: Any) -> Any:
        """A question about image files in the model's folder."""
        assert self._model is not None, "examples belong to a stored model"
        images = [read_picture(self._model, path) for path in path_or_text["images"]]
        return {"images": images, "texts": [path_or_text["text"]]}


def _texts_of(item: Any) -> list[str]:
    if not isinstance(item, dict):
        return []
    texts = [*item.get("texts", ()), *([item["prompt"]] if "prompt" in item else [])]
    for message in item.get("messages", ()):
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content
        texts += [part["text"] for part in parts if "text" in part]
    return texts


PROCESSOR = PicturingProcessor
