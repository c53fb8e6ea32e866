"""The error tree: each class's sentence, and the way across every border unchanged."""

from __future__ import annotations

import json
import pickle

import pytest

from browser_runtime.contract import errors

SENTENCES = [
    (errors.BadRequest("no"), "The request is refused: no"),
    (errors.UnknownModel("'x'", "try y"), "model_name 'x' is not known: try y"),
    (errors.BadInput("inputs", "3", "text"), "inputs is 3, but must be text."),
    (errors.TooLarge("inputs", 9, 8), "inputs holds 9 bytes, more than the 8 bytes allowed."),
    (errors.Unsupported("webnn", "no context"), "webnn is not supported here: no context"),
    (errors.Busy(5), "No browser session was free within 5 s; try again later or add sessions."),
    (
        errors.NoWorker("a, b", "a"),
        "No worker serves a, b; start one with `webinfer up` or `celery -A webinfer worker -Q a`.",
    ),
    (errors.SessionLost("chrome-1", "gone"), "The browser session chrome-1 was lost: gone"),
    (errors.BrowserDied("chrome-1", "gone"), "The browser of session chrome-1 died: gone"),
    (errors.PageSilent("chrome-1", "5 s"), "The page of session chrome-1 fell silent: 5 s"),
    (errors.DeviceLost("chrome-1", "why"), "The compute device of session chrome-1 was lost: why"),
    (errors.PageCutOff("chrome-1", "why"), "The page of session chrome-1 can load nothing any more: why"),
    (errors.BridgeClosed("chrome-1", "why"), "The connection to the page of session chrome-1 closed: why"),
    (errors.OutOfMemory("4 GB"), "The model does not fit this device: 4 GB"),
    (errors.BadOutput("NaN"), "The model's output cannot be trusted: NaN"),
    (errors.SetupError("Redis", "install it"), "Redis is missing on this machine; install it"),
    (errors.NotReady("No Redis answers", "start one"), "No Redis answers; start one"),
]


@pytest.mark.parametrize(("error", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_each_error_has_its_sentence(error: errors.InferenceError, sentence: str) -> None:
    assert str(error) == sentence


@pytest.mark.parametrize("error", [error for error, _ in SENTENCES], ids=lambda error: error.code())
def test_errors_survive_the_page_border_and_a_copy(error: errors.InferenceError) -> None:
    wire = json.loads(json.dumps({"code": error.code(), "args": [str(part) for part in error.args]}))
    back = errors.from_plain(wire)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_an_unknown_code_is_a_page_fault_with_its_stack() -> None:
    error = errors.from_plain({"code": "TypeError", "args": ["x is undefined"], "stack": "at lane.js:1"})
    assert isinstance(error, errors.PageFault)
    assert "x is undefined" in str(error)
    assert "lane.js:1" in str(error)


def test_a_sentence_with_too_few_arguments_still_prints() -> None:
    assert str(errors.BadInput("inputs")) == "inputs is ?, but must be ?."


def test_reroute_follows_the_tree() -> None:
    assert errors.Unsupported.reroute and errors.OutOfMemory.reroute and errors.BadOutput.reroute
    assert not errors.BadInput.reroute
