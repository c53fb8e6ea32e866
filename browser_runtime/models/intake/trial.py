"""One run of a model in Python's onnxruntime before it enters the store, in a process that it may take down.

A graph from elsewhere may crash its engine, loop for ever or ask for all memory, and workers pull models too:
the run has bounds on time and memory, and its end, whatever it is, becomes one sentence.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import BadOutput, BadRequest, InferenceError, ModelFault, SetupError
from browser_runtime.contract.family_spec import FamilySpec
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.families.processor import PROCESSORS, Output
from browser_runtime.models.manifest import StoredModel, read_manifest

# What onnxruntime says first: "[ONNXRuntimeError] : 1 : FAIL : Load model from /a/model.onnx failed:".
ORIGIN = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?")
# Few threads and few arenas of malloc: each reserves address space, which is what the bound on memory counts.
ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parents[3]),
    "MALLOC_ARENA_MAX": "4",
    "TOKENIZERS_PARALLELISM": "false",
}
# Whisper's large encoder takes half a minute on two cores; what takes ten times that no request can wait for.
TIMEOUT_S = 300.0
# Room for activations and for the copies that onnxruntime's optimiser makes of the weights.
MEMORY_FLOOR_BYTES, MEMORY_FACTOR = 6 << 30, 5


@dataclass(frozen=True, slots=True)
class TrialRun:
    """The output of a model for a usual item."""

    precision: Precision
    output: Output
    """As plain values: an embedding, labels with their scores, or a text."""
    ms: float


def try_model(model: StoredModel, precisions: Sequence[Precision]) -> tuple[TrialRun, ...]:
    """A run in each precision. Raises BadRequest with what keeps the model from running, and SetupError."""
    if importlib.util.find_spec("onnxruntime") is None:
        remedy = "a model is tried in it before it is stored: pip install 'webinfer[worker]'"
        raise SetupError("onnxruntime", remedy)
    return tuple(_try_precision(model, precision) for precision in precisions)


def _try_precision(model: StoredModel, precision: Precision) -> TrialRun:
    try:
        done = subprocess.run(
            command(model, precision),
            env=os.environ | ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _refusal(model, precision, f"it did not answer within {TIMEOUT_S:.0f} s") from error
    outcome = _read_outcome(done.stdout)
    if outcome is None:
        raise _refusal(model, precision, _describe_end(done))
    if "error" in outcome:
        raise _refusal(model, precision, outcome["error"])
    return TrialRun(precision, outcome["output"], outcome["ms"])


def command(model: StoredModel, precision: Precision) -> list[str]:
    """The command of one trial; -P keeps files of the current folder from replacing modules."""
    limit = max(MEMORY_FLOOR_BYTES, MEMORY_FACTOR * model.loaded_bytes(precision))
    arguments = (str(model.folder), model.name, str(precision), str(limit))
    return [sys.executable, "-P", "-m", __name__, *arguments]


def _refusal(model: StoredModel, precision: Precision, why: str) -> BadRequest:
    return BadRequest(f"model {model.name!r} cannot run in {precision}: {why}")


def _read_outcome(printed: str) -> Mapping[str, Any] | None:
    """The outcome on the last line; None if the trial did not come to its end."""
    try:
        outcome = json.loads(printed.splitlines()[-1])
    except (IndexError, ValueError):
        return None
    return outcome if isinstance(outcome, dict) else None


def _describe_end(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"onnxruntime crashed on it ({signal.Signals(-done.returncode).name})"
    last = done.stderr.strip().splitlines()[-1:]
    return f"its trial ended with code {done.returncode}: {' '.join(last)}"


# --- in the process of the trial


def main(folder: str, name: str, precision: str, max_memory_bytes: str) -> None:
    """Prints the outcome of one run as a line of JSON."""
    _bound(int(max_memory_bytes))
    try:
        outcome = asdict(run_once(read_manifest(Path(folder), name), Precision(precision)))
    except InferenceError as error:
        outcome = {"error": _explain(error)}
    except MemoryError:
        outcome = {"error": f"it takes more than {int(max_memory_bytes) >> 20} MB of memory"}
    print(json.dumps(outcome))


def _bound(max_memory_bytes: int) -> None:
    """Ends this process before it takes the machine's memory or, should nobody wait any more, its time."""
    resource.setrlimit(resource.RLIMIT_AS, (max_memory_bytes, max_memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (int(TIMEOUT_S) * 2, int(TIMEOUT_S) * 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # where memory runs out all the same, this process is to go
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _explain(error: InferenceError) -> str:
    """The error in one line, without what is said of requests, and without onnxruntime's own places."""
    text = str(error.args[-1]) if type(error) in (BadRequest, BadOutput, ModelFault) else str(error)
    return " ".join(ORIGIN.sub("", text).split())


def run_once(model: StoredModel, precision: Precision) -> TrialRun:
    """The model's answer to a usual item, and for texts to a long one too. Raises InferenceError."""
    from browser_runtime.simulation.runners import open_runner, run_items

    runner = open_runner(model, precision)
    started = time.perf_counter()
    processor = PROCESSORS.take(model)
    items, options = processor.sample_items(), processor.trial_options
    answers = run_items(runner, model.family.model_types[0], items, options)
    for output in answers.outputs:
        if isinstance(output, InferenceError):
            raise output
        _require_sense(model.family, output)
    first = answers.outputs[0]
    assert isinstance(first, dict)
    return TrialRun(precision, to_plain(first), (time.perf_counter() - started) * 1000)


def _require_sense(family: FamilySpec, output: Output) -> None:
    """Raises BadRequest for numbers that no trained model gives."""
    import numpy as np

    name = family.answer.numbers
    if name and len(output[name]) > 1 and np.ptp(output[name]) == 0:
        raise BadRequest(f"all numbers of its {name} are equal")


def to_plain(value: Any) -> Any:
    """`value` without arrays."""
    import numpy as np

    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: to_plain(inner) for key, inner in value.items()}
    return value


if __name__ == "__main__":
    main(*sys.argv[1:])
