"""The quantiser on tiny models: errors shrink as bits grow, plans are obeyed, budgets kept, files open."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser_runtime.contract.errors import BadInput, BadRequest
from browser_runtime.low_bits.cache import PackedCache
from browser_runtime.low_bits.forward import Decoder, ExactCache, ExactTensors
from browser_runtime.low_bits.model_file import PackedModel
from browser_runtime.low_bits.packed_tensors import PackedTensors
from browser_runtime.low_bits.quantising.bit_plan import BitChoice, BitPlan, fit_budget
from browser_runtime.low_bits.quantising.blas_threads import one_blas_thread, openblas
from browser_runtime.low_bits.quantising.descent import descend
from browser_runtime.low_bits.quantising.gptq import Elimination, choose_codes
from browser_runtime.low_bits.quantising.least_squares import fit_matrix
from browser_runtime.low_bits.quantising.matrices import (
    InputStatistics,
    quantise_matrix,
    quantise_together,
)
from browser_runtime.low_bits.quantising.packing_up import Wish, quantise
from browser_runtime.low_bits.quantising.quantiser import read_layer
from browser_runtime.low_bits.quantising.rotation import rotation
from browser_runtime.low_bits.quantising.sensitivity import round_to_nearest
from browser_runtime.low_bits.reading.sources import DecoderSource, open_source
from browser_runtime.low_bits.reading.weights import HeldWeights, linear_names

GGUF = Path(__file__).parents[2] / "data" / "gguf"


def weights_and_inputs(seed: int = 0) -> tuple[Any, Any]:
    """A matrix [48, 96], and inputs [400, 96] that go together, a few of them large."""
    rng = np.random.RandomState(seed)
    mixing = rng.standard_normal((96, 96)) / 4 + np.diag(np.exp(rng.standard_normal(96)))
    inputs = (rng.standard_normal((400, 96)) @ mixing).astype(np.float32)
    return rng.standard_normal((48, 96)).astype(np.float32), inputs


def output_error(weights: Any, numbers: Any, inputs: Any) -> float:
    return float(np.square(inputs @ (weights - numbers).T).sum() / np.square(inputs @ weights.T).sum())


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_least_squares_are_better_than_rounding(bits: int) -> None:
    weights, inputs = weights_and_inputs()
    fitted = fit_matrix(weights, bits, np.square(inputs).mean(0)).expand()
    plain = round_to_nearest(weights, bits)
    assert output_error(weights, fitted, inputs) < 0.9 * output_error(weights, plain, inputs)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_each_step_of_the_quantiser_is_better_than_the_one_before(bits: int) -> None:
    weights, inputs = weights_and_inputs()
    statistics = InputStatistics(inputs.T @ inputs, len(inputs))
    fitted = fit_matrix(weights, bits, statistics.importance)
    chosen = choose_codes(weights, fitted, statistics.elimination)
    assert np.array_equal(chosen.scales, fitted.scales), "GPTQ chooses codes alone"
    descended = descend(weights, chosen, statistics.damped)
    errors = [output_error(weights, each.expand(), inputs) for each in (fitted, chosen, descended)]
    assert errors[1] < 0.75 * errors[0]
    assert errors[2] < 0.97 * errors[1]
    whole = quantise_matrix(weights, bits, statistics)
    assert output_error(weights, whole.numbers, inputs) <= errors[2]


def test_an_elimination_inverts_the_hessian_in_its_order() -> None:
    _, inputs = weights_and_inputs()
    hessian = InputStatistics(inputs.T @ inputs, len(inputs)).damped
    found = Elimination.of(hessian)
    ordered = hessian[np.ix_(found.order, found.order)].astype(np.float64)
    assert np.all(np.diff(np.diag(ordered)) <= 0)
    np.testing.assert_allclose(found.root.T @ found.root @ ordered, np.eye(96), atol=1e-3)


def test_matrices_of_the_same_inputs_come_out_as_each_alone() -> None:
    weights, inputs = weights_and_inputs()
    statistics = InputStatistics(inputs.T @ inputs, len(inputs))
    parts = {"q": weights[:20], "k": weights[20:]}
    together = quantise_together(parts, 3, statistics)
    for name, part in parts.items():
        alone = quantise_matrix(part, 3, statistics)
        assert together[name].shape == part.shape
        np.testing.assert_allclose(together[name].numbers, alone.numbers, atol=2e-2)
        assert np.mean(together[name].numbers != alone.numbers) < 0.01


@pytest.mark.parametrize(
    "weights",
    [
        np.zeros((5, 40)),
        np.full((4, 32), 3.0),
        np.full((4, 32), -3.0),
        np.eye(4, 64) * 1e-9,
        np.eye(4, 64) * 6e4,
        np.ones((1, 1)),
    ],
)
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_odd_matrices_have_finite_numbers(weights: Any, bits: int) -> None:
    matrix = fit_matrix(weights.astype(np.float32), bits, np.zeros(weights.shape[1], np.float32))
    found = matrix.expand()
    assert np.isfinite(found).all()
    # 2^bits - 1 steps lead from zero to the largest number; half a step, and 6 bits of the scale, are lost.
    step = np.abs(weights).max() / ((1 << bits) - 1)
    assert np.abs(found - weights).max() <= 0.6 * step + 1e-5


def test_rotated_values_change_no_output() -> None:
    source = open_source(GGUF / "qwen2.gguf")
    held = HeldWeights.of(source.weights)
    rotated = dict(held.tensors)
    for index in range(source.shape.layers):
        layer = read_layer(source.weights, index)
        assert not np.array_equal(layer["v"], held.tensors[f"layers.{index}.v"])
        rotated |= {f"layers.{index}.{name}": numbers for name, numbers in layer.items()}
    tokens = np.arange(40, dtype=np.int32)
    found, want = (
        Decoder(ExactTensors(source.shape, tensors)).hidden(tokens, ExactCache(source.shape))
        for tensors in (rotated, held.tensors)
    )
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-5 * float(np.abs(want).max()))


def test_a_rotation_is_a_hadamard_matrix() -> None:
    turn = rotation(16)
    np.testing.assert_allclose(turn @ turn.T, np.eye(16), atol=1e-6)
    np.testing.assert_allclose(np.abs(turn), 0.25, atol=1e-7)


def quantised(source: DecoderSource, folder: Path, wish: Wish) -> tuple[PackedModel, Any, list[Any]]:
    told: list[Any] = []
    folder.mkdir(parents=True, exist_ok=True)
    done, _ = quantise(source, wish, folder, lambda *step: told.append(step))
    return PackedModel.open(folder), done, told


@pytest.mark.parametrize("name", ["llama", "qwen2"])
def test_more_bits_are_nearer_to_the_original(name: str, tmp_path: Path) -> None:
    source = open_source(GGUF / f"{name}.gguf")
    losses = []
    for bits in (2, 3, 4, 8, 16):
        plan = BitPlan(bits, embedding=max(bits, 8), head=max(bits, 8))
        model, done, told = quantised(source, tmp_path / str(bits), Wish(plan))
        losses.append(done.divergence.kl)
        assert model.about["measured"]["kl"] == round(done.divergence.kl, 5)
        assert {model.tensors[name].bits for name in linear_names(source.shape)} == {bits}
        assert done.size_bytes == model.size_bytes <= plan.size_bytes(source.shape) + 64
        assert told[0][1] == 0
        assert told[-1][1] == told[-1][2]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-4
    assert losses[0] > 20 * losses[3]


def test_what_is_measured_is_what_the_files_give(tmp_path: Path) -> None:
    """The KL divergence in the manifest, found again by running the packed files."""
    from browser_runtime.low_bits.quantising.calibration import read_calibration
    from browser_runtime.low_bits.quantising.divergence import DivergenceMeter

    source = open_source(GGUF / "llama.gguf")
    model, done, _ = quantised(source, tmp_path, Wish(BitPlan(3)))
    held, meter = HeldWeights.of(source.weights), DivergenceMeter()
    exact, packed = Decoder(ExactTensors(held.shape, held.tensors)), Decoder(PackedTensors.open(model))
    for window in read_calibration(source.companions["tokenizer.json"], source.shape).check:
        a, b = (
            decoder.logits(decoder.hidden(window, ExactCache(decoder.shape))) for decoder in (exact, packed)
        )
        meter.add(a[:-1], b[:-1], window[1:])
    assert meter.result().kl == pytest.approx(done.divergence.kl, rel=1e-3)
    # And with a cache as pages have it, it is still about that.
    cached = packed.logits(packed.hidden(window, PackedCache(packed.shape)))
    assert float(np.abs(cached - b).max()) < 0.05 * float(np.abs(b).max())


def test_a_plan_gives_bits_by_pattern(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        'default = 3\nembedding = 4\n[tensors]\n"*.down" = 4\n"layers.0.*" = 8\n"layers.0.q" = 2\n'
    )
    plan = BitPlan.read(path)
    source = open_source(GGUF / "llama.gguf")
    model, _, _ = quantised(source, tmp_path / "packed", Wish(plan))
    bits = {name: tensor.bits for name, tensor in model.tensors.items()}
    names = ("embedding", "layers.0.q", "layers.0.down", "layers.1.down", "layers.1.q", "norm")
    assert [bits[name] for name in names] == [4, 2, 8, 4, 3, 32]
    assert model.about["plan"] == plan.to_plain()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "default of plan.toml is missing"),
        ("default = 5", "default of plan.toml is 5, but must be one of 2, 3, 4, 8"),
        ("default = 3\nhead = '8'", "head of plan.toml"),
        ("default = 3\nlayers = 2", "layers of plan.toml is 2, but must be left out"),
        ("default = 3\ntensors = 2", "tensors of plan.toml"),
        ('default = 3\n[tensors]\n"*.down" = 7', "*.down of plan.toml is 7"),
        ("default 3", "plan.toml is no TOML"),
    ],
)
def test_plans_that_cannot_be_are_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises((BadInput, BadRequest)) as refused:
        BitPlan.read(tmp_path / "plan.toml")
    assert words in str(refused.value)


def test_a_pattern_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    source = open_source(GGUF / "llama.gguf")
    with pytest.raises(BadInput, match=r"'layers\.9\.\*', but must be a matrix of the model"):
        quantised(source, tmp_path, Wish(BitPlan(3, tensors={"layers.9.*": 4})))


def test_a_budget_is_kept_and_spent_where_it_counts(tmp_path: Path) -> None:
    source = open_source(GGUF / "llama.gguf")
    least = BitPlan(2, embedding=4, head=4).size_bytes(source.shape)
    most = BitPlan(8).size_bytes(source.shape)
    budget = (least + most) // 2
    model, done, _ = quantised(source, tmp_path / "mixed", Wish(budget_bytes=budget))
    assert 0.9 * budget < done.size_bytes <= budget
    assert len({model.tensors[name].bits for name in linear_names(source.shape)}) > 1
    _, flat, _ = quantised(source, tmp_path / "flat", Wish(BitPlan(3)))
    assert done.divergence.kl < flat.divergence.kl
    with pytest.raises(BadInput, match=r"--budget-mb is 0\.01, but must be at least"):
        quantised(source, tmp_path / "none", Wish(budget_bytes=10_000))


def test_the_best_step_a_byte_is_taken_first() -> None:
    choices = [
        BitChoice("layers.0.q", 2, 100, 1.0),
        BitChoice("layers.0.q", 4, 200, 0.1),
        BitChoice("layers.0.down", 2, 1000, 2.0),
        BitChoice("layers.0.down", 4, 2000, 0.2),
        BitChoice("embedding", 8, 50, 0.0),
    ]
    assert fit_budget(choices, 10, 1160).tensors == {"layers.0.q": 2, "layers.0.down": 2}
    assert fit_budget(choices, 10, 1260).tensors == {"layers.0.q": 4, "layers.0.down": 2}
    assert fit_budget(choices, 10, 2260).tensors == {"layers.0.q": 4, "layers.0.down": 4}


def test_calibration_texts_of_users_are_taken_or_refused(tmp_path: Path) -> None:
    source, text = open_source(GGUF / "llama.gguf"), tmp_path / "own.txt"
    text.write_text("A text of my own, and about what the model is for. " * 40)
    model, _, _ = quantised(source, tmp_path / "own", Wish(BitPlan(4), calibration=text))
    told = model.about["calibration"]
    assert told["text"] == "own.txt"
    assert told["sha256"] == hashlib.sha256(text.read_bytes()).hexdigest()
    for content, words in ((b"short", "tokens, but must be at least 128"), (b"\xff\xfe" * 500, "UTF-8 text")):
        text.write_bytes(content)
        with pytest.raises(BadInput, match=words):
            quantised(source, tmp_path / "refused", Wish(BitPlan(4), calibration=text))
    with pytest.raises(BadInput, match="--calibration"):
        quantised(source, tmp_path / "gone", Wish(BitPlan(4), calibration=tmp_path / "gone.txt"))


def test_products_take_one_thread_beside_others_and_as_many_as_before_afterwards() -> None:
    library, form = openblas() or pytest.skip("this NumPy has no OpenBLAS of its own")

    def n_threads() -> int:
        return int(getattr(library, form.format("get"))())

    n_before = n_threads()
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        assert n_threads() == 1
        raise ZeroDivisionError
    assert n_threads() == n_before
