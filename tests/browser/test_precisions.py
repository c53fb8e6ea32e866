"""Weights in a file beside the graph, in half precision, in 8 and in 4 bits: each runs in the pages."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from PIL import Image

from browser_runtime.contract.capabilities import Capabilities
from browser_runtime.contract.errors import Unsupported
from browser_runtime.contract.family_spec import ONNX_SUFFIXES
from browser_runtime.contract.messages import Request
from browser_runtime.contract.vocabulary import Backend, Family, Precision
from browser_runtime.models.intake.importing import import_model
from browser_runtime.models.store import BUILTIN_FOLDER, ModelStore
from browser_runtime.pool import Pool
from browser_runtime.settings import RuntimeSettings

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOURCE = BUILTIN_FOLDER / "digits-vit"
NAME = "digits-in-all-sizes"
DIGITS = ("0", "4", "7")
BLOCK = 32


@pytest.fixture(scope="session")
def every_size(settings: RuntimeSettings, tmp_path_factory: pytest.TempPathFactory) -> str:
    """digits-vit as people export models: fp32 with its weights beside the graph, fp16, int8 and q4."""
    home = tmp_path_factory.mktemp("exported") / NAME
    graphs = home / "onnx"
    graphs.mkdir(parents=True)
    for name in ("config.json", "preprocessor_config.json"):
        shutil.copy(SOURCE / name, home)
    source = SOURCE / "onnx/model.onnx"
    whole = onnx.load(source)
    onnx.save(convert_float_to_float16(whole, keep_io_types=True), graphs / "model_fp16.onnx")
    quantize_dynamic(source, graphs / "model_quantized.onnx", weight_type=QuantType.QUInt8)
    onnx.save(in_four_bits(onnx.load(source)), graphs / "model_q4.onnx")
    beside = {"save_as_external_data": True, "location": "model.onnx_data", "size_threshold": 1024}
    onnx.save_model(onnx.load(source), graphs / "model.onnx", **beside)
    model = import_model(home, NAME, store=ModelStore(settings.models_dir))
    assert model.precisions == tuple(ONNX_SUFFIXES)
    return NAME


def in_four_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """Each product with a constant matrix as onnxruntime's MatMulNBits: blocks of 32 weights with a scale."""
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    for index, node in enumerate(graph.node):
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        matrix = onnx.numpy_helper.to_array(weights[node.input[1]])
        names = [f"{node.input[1]}_{part}" for part in ("bits", "scales")]
        sizes = {"K": matrix.shape[0], "N": matrix.shape[1], "bits": 4, "block_size": BLOCK}
        narrow = onnx.helper.make_node(
            "MatMulNBits", [node.input[0], *names], node.output, node.name, domain="com.microsoft", **sizes
        )
        graph.node.remove(node)
        graph.node.insert(index, narrow)
        graph.initializer.extend(map(onnx.numpy_helper.from_array, pack_four_bits(matrix), names))
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    return model


def pack_four_bits(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two weights a byte, the first in the low half, 8 for zero; and the scales."""
    depth, width = matrix.shape
    columns = np.pad(matrix.T, ((0, 0), (0, -depth % BLOCK))).reshape(width, -1, BLOCK)
    scales = np.abs(columns).max(axis=2, keepdims=True) / 7 + 1e-12
    levels = (np.clip(np.rint(columns / scales), -8, 7) + 8).astype(np.uint8)
    return levels[..., ::2] | levels[..., 1::2] << 4, scales.astype(np.float32).ravel()


def read(name: str, digit: str, precision: Precision, backend: Backend) -> Request:
    picture = np.asarray(Image.open(SOURCE / f"examples/{digit}.png").convert("RGB"))
    return Request(
        Family.VISION, name, {"images": [picture]}, backends=(backend,), precision=precision, single=True
    )


@pytest.mark.parametrize("precision", ONNX_SUFFIXES)
@pytest.mark.parametrize("backend", [Backend.WASM, Backend.WEBNN, Backend.WEBGPU])
async def test_each_precision_reads_the_same_digits(
    shared_pool: Pool, every_size: str, backend: Backend, precision: Precision
) -> None:
    can = shared_pool.sessions[0].capabilities
    if not can.can(backend):
        return
    if lacks_half_precision(can, backend) and precision is Precision.FP16:
        with pytest.raises(Unsupported, match="f16"):
            await shared_pool.run(read(every_size, DIGITS[0], precision, backend))
        return
    for digit in DIGITS:
        reply = await shared_pool.run(read(every_size, digit, precision, backend))
        assert reply.output["labels"][0]["label"] == digit
        assert (reply.precision, reply.backend, reply.fallbacks) == (precision, backend, ())


def lacks_half_precision(can: Capabilities, backend: Backend) -> bool:
    """SwiftShader does."""
    features = can.backends[backend].details.get("features") or ()
    return backend is Backend.WEBGPU and "shader-f16" not in features


async def test_what_cannot_run_in_half_precision_falls_back_and_says_so(
    shared_pool: Pool, every_size: str
) -> None:
    can = shared_pool.sessions[0].capabilities
    if not lacks_half_precision(can, Backend.WEBGPU):
        return
    request = read(every_size, "4", Precision.FP16, Backend.WEBGPU)
    reply = await shared_pool.run(replace(request, backends=(Backend.WEBGPU, Backend.WASM)))
    assert (reply.backend, reply.precision) == (Backend.WASM, Precision.FP16)
    assert reply.output["labels"][0]["label"] == "4"
    assert reply.fallbacks[0]["backend"] == "webgpu" and "f16" in reply.fallbacks[0]["reason"]
