"""Short words for requests and replies: what logs, events and Flower show in the place of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from browser_runtime.contract.contrastive_families import SOUNDS

MAX_WORDS = 60


def describe_request(wire: Mapping[str, Any]) -> str:
    """One line that tells a request apart: `{'model_type': 'vision', 'inputs': '2 images 224x224', ...}`."""
    shown = {
        "model_type": wire.get("family"),
        "model_name": wire.get("model_name"),
        "inputs": describe_inputs(wire.get("inputs")),
    }
    for name in ("backends", "browser", "options", "deadline_s"):
        if wire.get(name):
            shown[name] = wire[name]
    if wire.get("precision") != "fp32":
        shown["precision"] = wire.get("precision")
    return repr(shown)


def describe_inputs(inputs: Any) -> str:
    """`1 image 224x224`, `2 sounds 1.5 s, 3.0 s`, `1 text 'the beginning of it...'`."""
    if not isinstance(inputs, dict) or len(inputs) != 1:
        return "unknown inputs"
    batch, items = next(iter(inputs.items()))
    if not isinstance(items, list):
        return "unknown inputs"
    noun = batch if len(items) != 1 else batch.removesuffix("s")
    sizes = ", ".join(_describe_item(item) for item in items[:3])
    return f"{len(items)} {noun} {sizes}" + (", ..." if len(items) > 3 else "")


def _describe_item(item: Any) -> str:
    """Of an array or of a claim on one: both have a shape."""
    if isinstance(item, dict) and isinstance(item.get("texts"), list):
        words = [_describe_item(part) for name, part in item.items() if name != "texts"]
        return " with ".join([*words, describe_texts(item["texts"])])
    if isinstance(item, dict) and set(item) == {"audio", "rate_hz"}:
        return _describe_sound(item["audio"], item["rate_hz"])
    if isinstance(item, str):
        return repr(item if len(item) <= MAX_WORDS else item[: MAX_WORDS - 3] + "...")
    shape: tuple[int, ...] = getattr(item, "shape", ())
    if len(shape) == 3:
        return f"{shape[1]}x{shape[0]}"
    return _describe_sound(item) if len(shape) == 1 else describe_value(item)


def _describe_sound(samples: Any, rate_hz: Any = SOUNDS.rate_hz) -> str:
    """Its seconds; of a message that nobody checked yet, the rate may be anything."""
    shape: tuple[int, ...] = getattr(samples, "shape", ())
    if len(shape) != 1 or type(rate_hz) not in (int, float) or rate_hz <= 0:
        return describe_value(samples)
    return f"{shape[0] / rate_hz:.2f} s"


def describe_texts(texts: list[Any]) -> str:
    """`'a cat'`, or `3 texts`."""
    return _describe_item(texts[0]) if len(texts) == 1 else f"{len(texts)} texts"


def describe_value(value: Any) -> str:
    """Any value without its numbers: `float32[384]`, `{'a': ...}`."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, dict):
        inner = ", ".join(f"{key!r}: {describe_value(item)}" for key, item in list(value.items())[:6])
        return "{" + inner + (", ..." if len(value) > 6 else "") + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(describe_value(item) for item in value[:3])
        return f"[{inner}" + (f", ... {len(value)} in all]" if len(value) > 3 else "]")
    text = repr(value)
    return text if len(text) <= MAX_WORDS else text[: MAX_WORDS - 3] + "..."


def describe_arrays(value: Any) -> Any:
    """`value` with words in the place of what JSON does not know: arrays, and claims on them."""
    if isinstance(value, dict):
        return {key: describe_arrays(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe_arrays(item) for item in value]
    return describe_value(value) if hasattr(value, "dtype") and hasattr(value, "shape") else value


def describe_reply(reply: Mapping[str, Any]) -> str:
    """`vision digits-vit in firefox on wasm, 12.3 ms: {'labels': ...}`."""
    where = f"{reply['browser']} on {reply['backend']}" + (" (simulation)" if reply["is_simulation"] else "")
    took = f"{reply['inference_time_ms']:.1f} ms"
    return (
        f"{reply['model_type']} {reply['model_name']} in {where}, {took}: {describe_value(reply['output'])}"
    )
