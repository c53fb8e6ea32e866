"""Transcription: the prompt, the cache, suppression, windows; checked against arithmetic done by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from browser_runtime.contract.errors import BadInput, BadOutput, InferenceError
from browser_runtime.contract.vocabulary import Family
from browser_runtime.models.configuration.features import MelPlan
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.manifest import StoredModel
from browser_runtime.models.store import ModelStore
from browser_runtime.simulation import reference
from browser_runtime.simulation.decoding import choose_token
from browser_runtime.simulation.mels import compute_features
from browser_runtime.simulation.windows import split_windows
from browser_runtime.texts.joining import join_tokens
from tests.stand_ins import tiny_whisper as tiny

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    folder: Path = tmp_path_factory.mktemp("whisper")
    store = ModelStore(folder / "models")
    import_model(tiny.write_whisper(folder / "many"), "many", store=store)
    import_model(tiny.write_whisper(folder / "one", languages=False), "one", store=store)
    return store


@pytest.fixture(scope="module")
def model(store: ModelStore) -> StoredModel:
    return store.ensure("many")


def sound(seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ)) * 0.1
    return samples.astype(np.float32)


def averages(samples: np.ndarray) -> np.ndarray:
    return compute_features(samples, MelPlan()).mean(axis=1)


def expect(heard: np.ndarray, prompt: list[int], limit: int) -> list[int]:
    """Greedy decoding by hand."""
    made: list[int] = []
    while len(made) < limit:
        logits = tiny.compute_logits([*prompt, *made], heard)
        logits[tiny.SUPPRESSED] = -np.inf
        if not made:
            logits[tiny.END] = -np.inf
        token = int(logits.argmax())
        if token == tiny.END:
            break
        made.append(token)
    return made


@pytest.mark.parametrize("seed", range(4))
def test_decoding_is_greedy_over_the_whole_history(model: StoredModel, seed: int) -> None:
    samples = sound(seed=seed)
    options = {"language": "de", "task": "translate", "max_new_tokens": 9}
    output = reference(model, Family.AUDIO, [samples], options)[0]
    prompt = [tiny.START, tiny.DE, tiny.TRANSLATE, tiny.SILENT]
    assert output["tokens"] == expect(averages(samples), prompt, 9)
    assert output["text"] == " ".join(tiny.WORDS[token] for token in output["tokens"])
    assert output["duration_s"] == 0.5


def test_a_language_left_open_is_recognised(model: StoredModel) -> None:
    for seed in range(6):
        samples = sound(seed=seed)
        logits = tiny.compute_logits([tiny.START], averages(samples))
        language = tiny.EN if logits[tiny.EN] >= logits[tiny.DE] else tiny.DE
        # As transformers has it: no task is named where neither the request nor the model names a language.
        tokens = reference(model, Family.AUDIO, [samples])[0]["tokens"]
        assert tokens == expect(averages(samples), [tiny.START, language, tiny.SILENT], 20)


def test_a_model_of_one_language_takes_none(store: ModelStore) -> None:
    model, samples = store.ensure("one"), sound()
    tokens = reference(model, Family.AUDIO, [samples])[0]["tokens"]
    assert tokens == expect(averages(samples), [tiny.START, tiny.SILENT], 20)
    with pytest.raises(BadInput, match="left out"):
        reference(model, Family.AUDIO, [samples], {"language": "en"})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"language": "fr"}, r"options\.language is 'fr', but must be one of de, en"),
        ({"langauge": "de"}, r"the option 'langauge' is unknown to audio \(did you mean 'language'\?\)"),
        ({"task": "sing"}, r"options\.task is 'sing', but must be one of transcribe, translate"),
        ({"max_new_tokens": 0}, r"options\.max_new_tokens is 0, but must be a whole number from 1 to 4096"),
        ({"max_new_tokens": True}, r"options\.max_new_tokens is True"),
        ({"return_timestamps": "word"}, r"options\.return_timestamps is 'word', but must be True or False"),
        ({"return_timestamps": True}, r"options\.return_timestamps .* this model has no time stamps"),
    ],
)
def test_odd_options_are_named(model: StoredModel, options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        reference(model, Family.AUDIO, [sound()], options)


@pytest.mark.parametrize(
    "item",
    [
        "text",
        np.zeros(0, np.float32),
        np.zeros((2, 9), np.float32),
        np.zeros(9),
        np.array([np.nan], np.float32),
    ],
)
def test_what_is_no_sound_is_named(model: StoredModel, item: Any) -> None:
    with pytest.raises(BadInput, match=r"sounds\[0\] is "):
        reference(model, Family.AUDIO, [item])


def test_a_long_sound_is_heard_in_windows(model: StoredModel) -> None:
    samples = sound(40)
    output = reference(model, Family.AUDIO, [samples], {"language": "en", "max_new_tokens": 4})[0]
    prompt = [tiny.START, tiny.EN, tiny.TRANSCRIBE, tiny.SILENT]
    parts = [expect(averages(part), prompt, 4) for part in split_windows(samples, 30 * RATE_HZ)]
    assert len(parts) == 2
    assert output["tokens"] == join_tokens(parts)
    assert output["duration_s"] == 40


def test_every_token_suppressed_is_no_answer() -> None:
    with pytest.raises(BadOutput, match="every token is suppressed"):
        choose_token(np.zeros(3, np.float32), (0, 1, 2))
    assert choose_token(np.array([3, 3, 1], np.float32), (0, 99)) == 1


@given(st.integers(1, 5000), st.integers(6, 600))
def test_windows_cover_every_sample(n_samples: int, size: int) -> None:
    samples = np.arange(n_samples, dtype=np.float32)
    windows = split_windows(samples, size)
    assert all(0 < len(window) <= size for window in windows)
    assert set(np.concatenate(windows)) == set(samples)
    assert len(windows) == 1 or n_samples > size


@given(st.lists(st.lists(st.integers(0, 5), max_size=12), max_size=4))
def test_joining_loses_neither_end(windows: list[list[int]]) -> None:
    joined = join_tokens(windows)
    assert len(joined) <= sum(map(len, windows))
    assert not any(windows) or joined
    assert join_tokens(windows[:1]) == [token for window in windows[:1] for token in window]


def test_windows_are_joined_as_transformers_joins_them() -> None:
    stored = json.loads((Path(__file__).parents[2] / "page/fixtures/whisper_values.json").read_text())
    for case in stored["joins"]:
        assert join_tokens(case["windows"]) == case["joined"]


def test_features_have_whispers_shape_and_range() -> None:
    features = compute_features(sound(3), MelPlan(n_mels=128))
    assert features.shape == (128, 3000)
    assert features.dtype == np.float32
    assert float(np.ptp(features)) <= 2.0 + 1e-6  # a span of 8 in log10, divided by 4
    assert (compute_features(np.zeros(10, np.float32), MelPlan()) == np.float32(-1.5)).all()


def test_a_pure_tone_is_loudest_in_its_own_channel() -> None:
    t = np.arange(RATE_HZ) / RATE_HZ
    features = compute_features(np.sin(2 * np.pi * 1000 * t).astype(np.float32), MelPlan())
    # 1 kHz is 15 mel of Slaney's 45.2 at 8 kHz: channel 15 / 45.2 * 81 - 1, rounded.
    assert int(features[:, 50].argmax()) == pytest.approx(26, abs=1)


def test_simulation_errors_are_of_the_tree(model: StoredModel) -> None:
    with pytest.raises(InferenceError):
        reference(model, Family.VISION, [sound()])
