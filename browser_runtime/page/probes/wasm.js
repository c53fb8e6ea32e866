import { openDevice } from '../engines/devices.js';
import { openGraph } from '../engines/graphs.js';
import { openRuntime } from '../engines/runtimes.js';
import { disprove, SIZE, X } from './problem.js';

const MODEL = new URL('./relu.onnx', import.meta.url).href;
// (module (func (result v128) i32.const 0 i8x16.splat)): valid only where fixed-width SIMD is.
const SIMD_MODULE = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11,
]);

/** What WebAssembly is here, proved by a real ONNX graph through onnxruntime-web. */
export async function proveWasm() {
  const { ort } = await openRuntime('wasm');
  const graph = await openGraph({ device: await openDevice('wasm'), url: MODEL });
  try {
    const { y } = await graph.run({ x: new ort.Tensor('float32', X, [1, SIZE]) });
    const reason = disprove(/** @type {Float32Array} */ (y?.data));
    // onnxruntime writes the number that it really uses back into its settings.
    return { reason, simd: WebAssembly.validate(SIMD_MODULE), threads: ort.env.wasm.numThreads };
  } finally {
    await graph.release();
  }
}
