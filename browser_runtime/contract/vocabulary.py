"""The project's words: browsers, backends, families, precisions, and the names users may call them by."""

from __future__ import annotations

import re
from enum import StrEnum

from browser_runtime.contract.errors import BadInput


class Browser(StrEnum):
    """The logical browsers; each has one queue family and one launch recipe."""

    FIREFOX = "firefox"
    CHROME = "chrome"
    EDGE = "edge"


class Backend(StrEnum):
    """Engines that compute: a GPU through WebGPU, the platform's NN library through WebNN, WebAssembly."""

    WEBGPU = "webgpu"
    WEBNN = "webnn"
    WASM = "wasm"
    SIMULATION = "simulation"


class Family(StrEnum):
    """The `model_type` of a request: what its model does. `families.FAMILIES` holds those that can run."""

    TEXT_EMBEDDING = "text_embedding"
    VISION = "vision"
    AUDIO = "audio"
    TEXT_GENERATION = "text_generation"
    MULTIMODAL = "multimodal"


class Precision(StrEnum):
    """Number formats of a model's weights. A request that names none has its family's usual one."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    Q4 = "q4"
    BITS_2 = "2bit"
    BITS_3 = "3bit"
    BITS_4 = "4bit"
    BITS_8 = "8bit"
    MIXED = "mixed"
    """Bits by tensor, as a plan has them."""


# The guide means `wasm` by `cpu`.
BACKEND_ALIASES = {"cpu": Backend.WASM}

# Characters of a user's value that an error shows.
MAX_SHOWN = 120

# What a page can be asked to compute on: simulation is never a page's backend.
PAGE_BACKENDS = (Backend.WEBGPU, Backend.WEBNN, Backend.WASM)

# The guide's line between a healthy session and one that is not, of 0 to 100.
HEALTHY_SCORE = 50.0


def shown(value: object) -> str:
    """`value` as an error shows it: a plain one cut to a line, of any other its type."""
    if isinstance(value, (list, tuple, dict)):
        return f"a {type(value).__name__} of {len(value)}" if value else repr(value)
    if isinstance(value, int) and value.bit_length() > MAX_SHOWN:  # Python refuses to write the largest
        return f"a number of {value.bit_length()} bits"
    if not isinstance(value, (str, bytes, int, float, type(None))):
        return f"a {type(value).__name__}"
    text = repr(value[:MAX_SHOWN] if isinstance(value, (str, bytes)) else value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def parse_backend(text: object, field: str = "priority_list") -> Backend:
    """The page backend named by `text`, aliases included. Raises BadInput naming the field."""
    allowed = [*map(str, PAGE_BACKENDS), *BACKEND_ALIASES]
    if isinstance(text, str):
        word = BACKEND_ALIASES.get(text, text)
        if word in PAGE_BACKENDS:
            return Backend(word)
    raise BadInput(field, shown(text), "one of " + ", ".join(allowed))


def parse_browser(text: object, field: str = "browser") -> Browser:
    """The browser named by `text`. Raises BadInput naming the field."""
    if isinstance(text, str) and text in list(Browser):
        return Browser(text)
    raise BadInput(field, shown(text), "one of " + ", ".join(Browser))


def parse_precision(text: object, field: str = "precision") -> Precision:
    """The precision named by `text`. Raises BadInput naming the field."""
    if isinstance(text, str) and text in list(Precision):
        return Precision(text)
    raise BadInput(field, shown(text), "one of " + ", ".join(Precision))


# One part, or `org/name` as on the Hugging Face Hub; no part starts with a dot, so none leaves its folder.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")


def check_model_name(text: object, field: str = "model_name") -> str:
    """`text` where it can be a model's name; whether there is such a model is the store's question.

    Raises BadInput naming the field.
    """
    if isinstance(text, str) and MODEL_NAME.fullmatch(text):
        return text
    raise BadInput(field, shown(text), "a name or org/name, each of 1 to 96 letters, digits, '.', '_' or '-'")
