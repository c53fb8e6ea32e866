"""Real sessions: what each browser proves, what it answers, and that a wish is obeyed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from browser_runtime.contract.errors import BadInput, Unsupported
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Browser, Family, Precision
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings
from tests.stand_ins.tiny_models import write_classifier

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = BUILTIN_FOLDER / "digits-vit/examples"


def digit(name: str) -> np.ndarray:
    return np.asarray(Image.open(EXAMPLES / f"{name}.png").convert("RGB"))


def read(*names: str, backends: tuple[Backend, ...] = (), **more: object) -> Request:
    images = [digit(name) for name in names]
    return Request(
        Family.VISION, "digits-vit", {"images": images}, backends=backends, single=len(names) == 1, **more
    )


async def test_webgpu_and_wasm_are_proved_everywhere_and_webnn_in_edge(shared_pool: Pool) -> None:
    can = shared_pool.sessions[0].capabilities
    assert can.cross_origin_isolated
    for backend in (Backend.WEBGPU, Backend.WASM):
        assert can.can(backend), can.reason(backend)
    assert can.can(Backend.WEBNN) == (shared_pool.browser is Browser.EDGE), can.reason(Backend.WEBNN)
    assert can.backends[Backend.WEBGPU].details["limits"]["maxBufferSize"] > 0


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (200_000,)])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "float64"])
async def test_a_tensor_comes_back_from_the_page_as_it_went(
    shared_pool: Pool, shape: tuple[int, ...], dtype: str
) -> None:
    tensor = np.random.default_rng(7).integers(0, 100, shape).astype(dtype)
    back = await shared_pool.echo({"tensor": tensor, "text": "wörds"})
    assert back["text"] == "wörds"
    assert back["tensor"].dtype == tensor.dtype
    assert np.array_equal(back["tensor"], tensor)


async def test_eight_megabytes_of_text_come_back_from_the_page(shared_pool: Pool) -> None:
    text = "\N{ROCKET} a" * (1 << 20)
    assert (await shared_pool.echo({"text": text}))["text"] == text


async def test_64_000_labels_come_back_whole(
    shared_pool: Pool, settings: RuntimeSettings, tmp_path: Path
) -> None:
    import_model(
        write_classifier(tmp_path, n_classes=1000), "thousand", store=ModelStore(settings.models_dir)
    )
    pictures = [np.full((4, 4, 3), value, np.uint8) for value in range(192, 256)]
    request = Request(Family.VISION, "thousand", {"images": pictures}, options={"top_k": 1000}, single=False)
    reply = await shared_pool.run(request)
    assert [len({label["label"] for label in output["labels"]}) for output in reply.output] == [1000] * 64
    assert all(
        sum(label["score"] for label in output["labels"]) == pytest.approx(1) for output in reply.output
    )


@pytest.mark.parametrize("backend", [Backend.WEBGPU, Backend.WEBNN, Backend.WASM])
async def test_digits_are_read_on_every_backend_that_was_proved(shared_pool: Pool, backend: Backend) -> None:
    if not shared_pool.sessions[0].capabilities.can(backend):
        with pytest.raises(Unsupported, match=str(backend)):
            await shared_pool.run(read("7", backends=(backend,)))
        return
    for name in ("7", "0"):
        reply = await shared_pool.run(read(name, backends=(backend,)))
        assert reply.output["labels"][0]["label"] == name
        assert reply.backend == reply.platform == backend
        assert reply.browser == shared_pool.browser
        assert reply.fallbacks == ()
        assert not reply.is_simulation
        assert reply.timings.compute_ms > 0
        assert sum(reply.details["placement"].values()) > 0
        assert reply.is_real_hardware == (reply.adapter.software is False and backend is not Backend.WASM)


async def test_a_batch_keeps_its_order(shared_pool: Pool) -> None:
    reply = await shared_pool.run(read("7", "0", "4", backends=(Backend.WASM,), notes=("as was noted",)))
    assert [output["labels"][0]["label"] for output in reply.output] == ["7", "0", "4"]
    assert "as was noted" in reply.warnings


async def test_a_fallback_shows_in_the_reply(shared_pool: Pool) -> None:
    reply = await shared_pool.run(read("7", backends=(Backend.WEBNN, Backend.WASM)))
    if shared_pool.browser is Browser.EDGE:
        assert (reply.backend, reply.fallbacks) == (Backend.WEBNN, ())
    else:
        assert reply.backend == Backend.WASM
        assert [told["backend"] for told in reply.fallbacks] == ["webnn"]
        assert reply.fallbacks[0]["reason"]


async def test_a_second_request_finds_the_model_loaded(shared_pool: Pool) -> None:
    await shared_pool.run(read("7", backends=(Backend.WASM,)))
    reply = await shared_pool.run(read("7", backends=(Backend.WASM,)))
    assert reply.timings.load_ms == reply.timings.compile_ms == reply.timings.warmup_ms == 0


async def test_a_precision_that_is_not_there_is_refused_not_replaced(shared_pool: Pool) -> None:
    with pytest.raises(BadInput, match="precision"):
        await shared_pool.run(read("7", precision=Precision.Q4))


async def test_flags_are_obeyed_or_told(shared_pool: Pool) -> None:
    reply = await shared_pool.run(read("7", backends=(Backend.WASM,), options={"compute_shaders": True}))
    assert not reply.compute_shader_optimized
    assert any("compute_shaders" in told for told in reply.warnings)
