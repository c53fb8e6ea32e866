"""A ViT in 8 bits on the low-bit engine, against the graph that transformers exported of the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browser_runtime.contract.errors import Unsupported
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.models.intake.quantising_encoders import quantise_encoder
from browser_runtime.models.store import ModelStore, StoredModel
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from browser_runtime.simulation.runners import reference
from tests.stand_ins.vits import DIGITS, write_vit

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIN_COSINE = 0.999
# Two engines of one arithmetic: they differ by rounding alone, which may tip a code here and there.
MIN_COSINE_TO_TWIN = 0.99999


@pytest.fixture(scope="module")
def packed(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    """The weights of digits-vit, stored in fp32 and 8bit."""
    folder = write_vit(Path(tmp_path_factory.mktemp("vits")) / "vit")
    return quantise_encoder(folder, "digits-8bit", ModelStore(settings.models_dir)).model


def digits(count: int) -> list[np.ndarray]:
    """Digits that training never saw: uint8 [8, 8, 3]."""
    ink = np.load(DIGITS / "examples/held_out.npz")["ink"][:count]
    return list(np.rint(ink / 16 * 255).astype(np.uint8)[..., None].repeat(3, -1))


def classify(model: StoredModel, images: list[np.ndarray], *backends: Backend) -> Request:
    inputs = {"images": images}
    return Request(Family.VISION, model.name, inputs, backends, Precision.BITS_8, single=False)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


async def test_eight_bits_give_the_logits_of_transformers(shared_pool: Pool, packed: StoredModel) -> None:
    """Many at once and one alone: the answers are the same to the bit."""
    images = digits(20)
    reply = await shared_pool.run(classify(packed, images))
    found = np.stack([output["logits"] for output in reply.output])
    given = reference(ModelStore().ensure("digits-vit"), Family.VISION, images)
    assert cosines(found, np.stack([output["logits"] for output in given])).min() >= MIN_COSINE
    for output, wanted in zip(reply.output, given, strict=True):
        assert output["labels"][0]["label"] == wanted["labels"][0]["label"]
    twins = reference(packed, Family.VISION, images, precision=Precision.BITS_8)
    assert cosines(found, np.stack([twin["logits"] for twin in twins])).min() >= MIN_COSINE_TO_TWIN
    (alone,) = (await shared_pool.run(classify(packed, images[7:8]))).output
    assert np.array_equal(alone["logits"], found[7])
    assert (reply.backend, reply.precision) == (Backend.WASM, Precision.BITS_8)
    assert reply.kernel == reply.details["kernels"] == "low_bits wasm relaxed"
    assert (reply.details["weight_bits"], reply.details["input"]) == ([8], [3, 32, 32])
    assert reply.details["activation_bits"] >= 8


async def test_another_backend_alone_is_refused(shared_pool: Pool, packed: StoredModel) -> None:
    with pytest.raises(Unsupported, match="8 bits on webgpu"):
        await shared_pool.run(classify(packed, digits(1), Backend.WEBGPU))
