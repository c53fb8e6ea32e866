"""What `bench quality` does without a browser: texts, agreements, sizes, picture, peers' formats."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tokenizers import Tokenizer

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.low_bits.quantising.divergence import DivergenceMeter
from browser_runtime.low_bits.quantising.matrices import InputStatistics
from browser_runtime.low_bits.reading.sources import open_source
from webinfer.bench.quality.backends import Answers, agreements
from webinfer.bench.quality.finished import FinishedSettings
from webinfer.bench.quality.original import Original
from webinfer.bench.quality.picture import draw
from webinfer.bench.quality.results import Accuracy, CacheSize, Quality, Row, cache_sizes
from webinfer.bench.quality.texts import read_paragraphs, read_questions, read_windows
from webinfer.commands.bench_quality import quality

GGUF = Path(__file__).parents[2] / "data" / "gguf" / "llama.gguf"


def quiet(*_: object) -> None:
    """Hears a step."""


def test_questions_are_those_that_training_leaves_out() -> None:
    from training.number_words import KINDS, ask_digits, to_words

    questions = read_questions()
    assert len(questions) == 100 * len(KINDS) == len({question.text for question in questions})
    assert [question.kind for question in read_questions(2)][:3] == ["to words", "to words", "to digits"]
    for question in questions:
        if question.kind == "to words":
            number = int("".join(filter(str.isdigit, question.text)))
            assert (to_words(number), number % 11) == (question.answer, 3)
    assert ask_digits is KINDS[1]


def test_windows_hold_the_text_in_order() -> None:
    source = open_source(GGUF)
    tokenizer = Tokenizer.from_str(source.companions["tokenizer.json"].decode())
    windows = read_windows(tokenizer, 300, 129)
    assert [len(window) for window in windows] == [128, 128, 44]
    text = tokenizer.decode(np.concatenate(windows).tolist())
    assert text.startswith("The reservoir above the village")
    assert all(4 <= len(paragraph.split()) <= 12 for paragraph in read_paragraphs())


def test_the_original_is_at_no_distance_from_itself() -> None:
    source = open_source(GGUF)
    windows = [np.arange(1, 150, dtype=np.int32), np.arange(5, 9, dtype=np.int32)]
    original = Original.compute(source.weights, windows, quiet)
    assert original.n_tokens == 148 + 3
    meter = DivergenceMeter()
    for index, part in original.pieces():
        original.add(meter, index, part, original.logits(index, part))
    found = meter.result()
    assert (round(found.kl, 6), found.top1, found.n_tokens) == (0, 1, 151)
    assert found.perplexity == found.original_perplexity


def answers(browser: str, backend: str, batch: int, *tokens: list[int]) -> Answers:
    return Answers("m", "2bit", browser, backend, "a", "k", batch, list(tokens))


def test_tokens_count_as_the_same_up_to_the_first_difference() -> None:
    found = agreements(
        [
            answers("chrome", "wasm", 0, [1, 2, 3, 4], [5]),
            answers("chrome", "webgpu", 0, [1, 2, 9, 4], [5]),
            answers("firefox", "wasm", 0, [1, 2, 3, 4], [5, 6]),
            answers("firefox", "wasm", 1, [7]),
        ]
    )
    assert [(each.browser, each.backend, each.n_tokens, each.n_same) for each in found] == [
        ("chrome", "webgpu", 5, 3),
        ("firefox", "wasm", 5, 5),
    ]
    assert found[0].share == 0.6


def test_the_cache_s_bytes_stand_beside_fp16_and_fp32() -> None:
    """Keys of 3 bits and values of 2: by hand from the format's description."""
    shape = open_source(GGUF).shape
    (short, *_, long) = cache_sizes("m", shape, ("k3v2",))
    heads, width = shape.layers * shape.kv_heads, shape.head_width
    assert long.fp16_bytes == 4096 * 2 * 2 * width * heads
    packed, ring = (4095 // 64) * 64 - 64, 128
    values_group = 32
    key_bytes = packed * width * 3 / 8 + packed * width / 64 * 4 + ring * width * 2
    value_bytes = packed * width * 2 / 8 + packed * width / values_group * 4 + ring * width * 2
    assert long.size_bytes == (key_bytes + value_bytes) * heads
    assert short.size_bytes < short.fp16_bytes
    assert CacheSize("m", "k", 1, 25, 100).saved_of_fp32 == 0.875


def test_a_picture_shows_every_setting() -> None:
    rows = [
        Row("m", kind, setting, 3.4, size, kl, 0.9, 10.0, 9.0, 100, "here")
        for kind, setting, size, kl in (
            ("weights", "3 bits", 75.6, 0.2),
            ("weights", "16 bits", 270.0, 1e-9),
            ("peer", "Q3_K <x>", 76.0, 0.4),
            ("cache", "k3v2", 7.1, 0.03),
        )
    ]
    words = [element.text for element in ET.fromstring(draw(rows, "m")).iter() if element.text]
    assert {"3 bits", "16 bits", "Q3_K <x>", "k3v2"} <= set(words)


@pytest.mark.skipif(importlib.util.find_spec("libgguf") is None, reason="libgguf is not installed")
@pytest.mark.parametrize(("name", "bits"), [("Q2_K", 2.625), ("Q3_K", 3.4375), ("Q4_K", 4.5), ("Q4_0", 4.5)])
def test_peers_formats_have_their_bits(name: str, bits: float) -> None:
    """Rows of 96 are joined by eight for blocks of 256."""
    from webinfer.bench.quality.peers import round_as

    rng = np.random.RandomState(0)
    weights, inputs = rng.standard_normal((16, 96)).astype(np.float32), np.ones((5, 96), np.float32)
    numbers, size_bytes = round_as(weights, name, InputStatistics(inputs.T @ inputs, 5))
    assert size_bytes * 8 / weights.size == bits
    error = float(np.abs(numbers - weights).mean())
    assert error < {2: 0.4, 3: 0.2, 4: 0.1}[int(bits)]


def test_a_cache_that_cannot_be_packed_is_refused_before_anything_is_measured() -> None:
    words = ["--models", str(GGUF), "--kv-cache", "k3v2", "--no-peers"]
    result = CliRunner().invoke(quality, words)
    assert isinstance(result.exception, BadInput)
    assert "heads of 16 numbers" in str(result.exception)


def test_what_is_finished_is_told_at_once_and_not_measured_again(tmp_path: Path) -> None:
    row = Row("m", "weights", "3 bits", 3.4, 75.6, 0.2, 0.9, 10.0, 9.0, 100, "here")
    share = Accuracy("numbers-llama", "2bit", {"sum": 0.5, "next": 1.0}, 4)
    told: list[Row | Accuracy] = []
    path = tmp_path / "settings.jsonl"
    first = FinishedSettings(told.append, path)
    first.add({"model": "m", "weights": 3}, row)
    first.add({"model": "numbers-llama", "precision": "2bit"}, share)
    assert told == [row, share]
    again = FinishedSettings(told.append, path)
    assert again.row({"weights": 3, "model": "m"}) == row
    assert again.accuracy({"model": "numbers-llama", "precision": "2bit"}) == share
    assert again.has({"model": "m", "weights": 3}) and not again.has({"model": "m", "weights": 2})
    assert len(told) == 2, "what an earlier run has told is not told again"


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('{"model": "m", "tokens": [1]}\n')
    with pytest.raises(BadRequest, match="no settings of an earlier run"):
        FinishedSettings(lambda _: None, path)


def test_lines_say_in_a_pipe_what_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("m", "weights", "3 bits", 3.4, 75.6, 0.2, 0.9, 10.0, 9.0, 100, "here")

    def measure(_: object, finished: FinishedSettings, tell: Callable[[str, int, int], None]) -> Quality:
        tell("packing", 0, 2)
        tell("packing", 1, 2)
        finished.add({}, row)
        return Quality([row])

    monkeypatch.setattr("webinfer.bench.quality.measuring.measure", measure)
    result = CliRunner().invoke(quality, ["--models", "m", "--no-peers"])
    assert [line.strip() for line in result.stderr.splitlines()][:2] == [
        "packing",
        "m, weights, 3 bits: 3.40 bits, 75.6 MB, KL 0.2000, top-1 equal 90.0%, perplexity 10.000",
    ]
