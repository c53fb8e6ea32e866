"""The peers: wllama from npm, transformers.js' layout of the weights, and llama.cpp natively."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from browser_runtime.contract.errors import SetupError
from browser_runtime.contract.vocabulary import Precision
from browser_runtime.low_bits.reading.sources import open_source
from webinfer.bench.generation.figures import Run
from webinfer.bench.generation.subjects import Subject, Tell
from webinfer.bench.npm import fetch_packages

WLLAMA_PACKAGE, WLLAMA_VERSION = "@wllama/wllama", "3.13.0"
CONTEXT = 1024


def fetch_wllama(cache: Path, tell: Tell) -> Path:
    """The folder of wllama's package, fetched by npm once. Raises SetupError."""
    home = cache / f"wllama-{WLLAMA_VERSION}"
    return fetch_packages(home, [f"{WLLAMA_PACKAGE}@{WLLAMA_VERSION}"], tell) / WLLAMA_PACKAGE


def export_layout(subject: Subject, cache: Path, tell: Tell) -> Path:
    """The folder of the model as transformers.js reads it, in q4, written once. Raises SetupError."""
    assert subject.gguf is not None
    folder = cache / f"{subject.name}-onnx"
    if folder.is_dir():
        return folder
    if importlib.util.find_spec("onnx") is None:
        raise SetupError("onnx, which writes transformers.js' layout,", "pip install onnx")
    from browser_runtime.models.intake.export_decoder import export_decoder

    tell(f"writing {subject.name} for transformers.js")
    fresh = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    source = open_source(subject.gguf)
    source.write_companions(fresh)
    export_decoder(source.weights, fresh / "onnx" / "model_q4.onnx", Precision.Q4)
    fresh.rename(folder)
    return folder


class NativeRunner:
    """llama.cpp through llama-cpp-python, in this process."""

    def __init__(self, subject: Subject, threads: int) -> None:
        """Opens the GGUF file. Raises SetupError where the package is not installed."""
        try:
            llama_cpp = importlib.import_module("llama_cpp")
        except ImportError as error:
            raise SetupError("llama-cpp-python", "pip install llama-cpp-python") from error
        self._subject = subject
        path = str(subject.gguf)
        self._llama: Any = llama_cpp.Llama(
            path, n_ctx=CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False
        )

    async def answer(self, question: str, n_tokens: int) -> str:
        """The text that follows, by the likeliest tokens."""
        tokens, _ = self._generate(self._subject.encode(question), n_tokens)
        return self._subject.decode(tokens)

    async def run(self, prompt: Sequence[int], n_tokens: int) -> Run:
        """One prompt, measured."""
        start = time.perf_counter()
        _, times = self._generate(prompt, n_tokens)
        return Run((times[0] - start) * 1000, (times[-1] - times[0]) * 1000 / (len(times) - 1), len(prompt))

    def _generate(self, prompt: Sequence[int], n_tokens: int) -> tuple[list[int], list[float]]:
        tokens, times = [], []
        self._llama.reset()
        for token in self._llama.generate(list(prompt), top_k=1, temp=0.0, repeat_penalty=1.0, reset=True):
            tokens.append(int(token))
            times.append(time.perf_counter())
            if len(tokens) == n_tokens:
                break
        return tokens, times

    async def close(self) -> None:
        """Free the model."""
        self._llama.close()
