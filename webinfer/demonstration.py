"""The demo's requests: text, image and sound, each to its usual browser, and the same image elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.vocabulary import Browser, Family
from browser_runtime.models.store import BUILTIN_FOLDER
from webinfer.producing import collect, send
from webinfer.words import answer_text

SENTENCES = (
    "A man is playing a guitar.",
    "Someone makes music on a string instrument.",
    "The train to the coast leaves at noon.",
)
RESULT_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Show:
    """One line of the demo."""

    told: str
    """What the person sees as input."""
    request: dict[str, Any]


def shows(browsers: list[Browser]) -> list[Show]:
    """What to send, each to a browser that is up; the usual one where it is among them."""
    image = BUILTIN_FOLDER / "digits-vit/examples/4.png"
    sound = BUILTIN_FOLDER / "tones-whisper/examples/spoken-4071.flac"
    lines = [
        _show(Family.TEXT_EMBEDDING, "sentences-bert", "three sentences", list(SENTENCES), browsers),
        _show(Family.VISION, "digits-vit", image.name, str(image), browsers),
        _show(Family.AUDIO, "tones-whisper", sound.name, str(sound), browsers),
    ]
    for browser, backend in (
        (Browser.FIREFOX, "webgpu"),
        (Browser.CHROME, "webgpu"),
        (Browser.EDGE, "webnn"),
    ):
        if browser in browsers:
            lines.append(_show(Family.VISION, "digits-vit", image.name, str(image), [browser], [backend]))
    return lines


def _show(
    family: Family,
    model: str,
    told: str,
    inputs: Any,
    browsers: list[Browser],
    backends: list[str] | None = None,
) -> Show:
    usual = PREFERRED_BROWSER[family]
    browser = usual if usual in browsers else browsers[0]
    request = {"model_type": str(family), "model_name": model, "inputs": inputs, "browser": str(browser)}
    return Show(told, request | {"priority_list": backends})


def run_shows(lines: list[Show], done: Callable[[], None]) -> Iterator[tuple[Show, dict[str, Any]]]:
    """Send all at once, then yield each with its reply, in order; `done` is called after each."""
    pending = [(line, send(**line.request)) for line in lines]
    for line, result in pending:
        reply = collect(result, RESULT_TIMEOUT_S)
        done()
        yield line, reply


def show_answer(reply: dict[str, Any]) -> str:
    """The answer in a line; for the three sentences, how near the second and third are to the first."""
    if isinstance(reply["output"], list) and reply["model_type"] == Family.TEXT_EMBEDDING:
        first, like, unlike = (np.asarray(output["embedding"]) for output in reply["output"])
        return f"1~2 {_cosine(first, like):.2f}, 1~3 {_cosine(first, unlike):.2f}"
    return answer_text(reply["output"])


def _cosine(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float:
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))
