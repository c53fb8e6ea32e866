"""The requests of `webinfer demo`: text, image, sound and a question, and the image in other browsers too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from browser_runtime.contract.families import PREFERRED_BROWSER
from browser_runtime.contract.vocabulary import Browser, Family
from browser_runtime.models.store import BUILTIN_FOLDER
from webinfer.producing import ReplyDict, collect, open_stream, send
from webinfer.words import answer_text

SENTENCES = (
    "A man is playing a guitar.",
    "Someone makes music on a string instrument.",
    "The train to the coast leaves at noon.",
)
LABELS = ("three", "five", "seven")
QUESTION = "Write 347 in words."
ABOUT_IMAGE = "Is it larger than five?"
STREAMED = ("Write 8437 in words.", "Write 29516 in words.")
RESULT_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class DemoRequest:
    """One request of the demo."""

    name: str
    """Its input, in a few words."""
    arguments: Mapping[str, Any]


def demo_requests(browsers: list[Browser]) -> list[DemoRequest]:
    """The requests, each for a running browser, if possible the preferred one."""
    image = BUILTIN_FOLDER / "digits-vit/examples/4.png"
    sound = BUILTIN_FOLDER / "tones-whisper/examples/spoken-4071.flac"
    lines = [
        _request(Family.TEXT_EMBEDDING, "sentences-bert", "three sentences", list(SENTENCES), browsers),
        _request(Family.VISION, "digits-vit", image.name, str(image), browsers),
        _request(Family.AUDIO, "tones-whisper", sound.name, str(sound), browsers),
        _request(Family.TEXT_GENERATION, "numbers-llama", QUESTION, _ask(QUESTION), browsers),
        _compare(Family.VISION, "digits-clip", BUILTIN_FOLDER / "digits-clip/examples/5.png", browsers),
        _compare(
            Family.AUDIO, "digits-clap", BUILTIN_FOLDER / "digits-clap/examples/spoken-7.flac", browsers
        ),
        _request(
            Family.MULTIMODAL,
            "digits-llava",
            f"{image.name}: {ABOUT_IMAGE}",
            {"image": str(image), "text": ABOUT_IMAGE},
            browsers,
        ),
    ]
    for browser, backend in (
        (Browser.FIREFOX, "webgpu"),
        (Browser.CHROME, "webgpu"),
        (Browser.EDGE, "webnn"),
    ):
        if browser in browsers:
            lines.append(_request(Family.VISION, "digits-vit", image.name, str(image), [browser], [backend]))
    return lines


@dataclass(frozen=True, slots=True)
class StreamedText:
    """A text as it came, and the lane that generated it."""

    prompt: str
    pieces: tuple[str, ...]
    session: str


def stream_together(browsers: list[Browser]) -> list[StreamedText]:
    """Texts that are generated at once, each read by a producer of its own. Raises InferenceError."""
    with ThreadPoolExecutor(len(STREAMED)) as producers:
        return list(producers.map(lambda prompt: _stream(prompt, browsers), STREAMED))


def _stream(prompt: str, browsers: list[Browser]) -> StreamedText:
    request = _request(Family.TEXT_GENERATION, "numbers-llama", prompt, _ask(prompt), browsers)
    with open_stream(request.arguments, RESULT_TIMEOUT_S) as stream:
        pieces = tuple(stream)
    assert stream.reply is not None
    return StreamedText(prompt, pieces, stream.reply["session"])


def _request(
    family: Family,
    model: str,
    name: str,
    inputs: Any,
    browsers: list[Browser],
    backends: list[str] | None = None,
) -> DemoRequest:
    preferred = PREFERRED_BROWSER[family]
    browser = preferred if preferred in browsers else browsers[0]
    arguments = {"model_type": str(family), "model_name": model, "inputs": inputs, "browser": str(browser)}
    return DemoRequest(name, arguments | {"priority_list": backends})


def _compare(family: Family, model: str, path: Path, browsers: list[Browser]) -> DemoRequest:
    request = _request(family, model, f"{path.name}: {', '.join(LABELS)}?", str(path), browsers)
    return replace(request, arguments={**request.arguments, "options": {"candidate_labels": list(LABELS)}})


def _ask(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def run_requests(
    requests: list[DemoRequest], done: Callable[[], None]
) -> Iterator[tuple[DemoRequest, ReplyDict]]:
    """Send all at once, then yield each with its reply, in order; `done` is called after each."""
    pending = [(request, send(**request.arguments)) for request in requests]
    for request, result in pending:
        reply = collect(result, RESULT_TIMEOUT_S)
        done()
        yield request, reply


def describe_answer(reply: ReplyDict) -> str:
    """The answer in a line; for the three sentences, the similarity of the others to the first."""
    if isinstance(reply["output"], list) and reply["model_type"] == Family.TEXT_EMBEDDING:
        first, like, unlike = (np.asarray(output["embedding"]) for output in reply["output"])
        return f"1~2 {_cosine(first, like):.2f}, 1~3 {_cosine(first, unlike):.2f}"
    return answer_text(reply["output"])


def _cosine(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> float:
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))
