"""The decoder inside a model that reads images, under the names of a language model's own file."""

from __future__ import annotations

from collections.abc import Mapping

from browser_runtime.low_bits.arrays import FloatArray
from browser_runtime.low_bits.reading.tensors import TensorFile

# Source: transformers 5.24, models/llava and models/idefics3, with the names that older versions saved.
PREFIXES = {
    "language_model.model.": "model.",
    "language_model.lm_head.": "lm_head.",
    "model.language_model.": "model.",
    "model.text_model.": "model.",
    "lm_head.": "lm_head.",
}


class InnerTensors:
    """The tensors of a file that are the decoder's; those of image tower and projector are left out."""

    def __init__(self, file: TensorFile) -> None:
        self._file = file
        self._names = {inner: name for name in file.shapes if (inner := _inner_name(name)) is not None}
        self.shapes: Mapping[str, tuple[int, ...]] = {
            inner: file.shapes[name] for inner, name in self._names.items()
        }

    def read(self, name: str) -> FloatArray:
        """The tensor's numbers. Raises BadRequest."""
        return self._file.read(self._names[name])


def _inner_name(name: str) -> str | None:
    """The name in a language model's own file; None for a tensor of another part."""
    found = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
    return None if found is None else PREFIXES[found] + name.removeprefix(found)
