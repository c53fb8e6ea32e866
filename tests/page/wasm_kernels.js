/** The WebAssembly kernels for tests in Node: assembled once, from their source. */
import { setFlagsFromString } from 'node:v8';
import { WasmBackend } from '../../browser_runtime/page/engines/low_bits/wasm_backend.js';
import { assemble } from '../../browser_runtime/page/kernels/assemble.mjs';

// Node 20 has relaxed SIMD behind a flag, browsers have it without.
setFlagsFromString('--experimental-wasm-relaxed-simd');

/** @type {Map<string, Promise<BufferSource>>} */
const assembled = new Map();

/** @type {import('../../browser_runtime/page/engines/low_bits/wasm_kernels.js').LoadKernel} */
export const loadKernel = (name, variant) => {
  const key = `${variant}/${name}`;
  const bytes = assembled.get(key) ?? /** @type {Promise<BufferSource>} */ (assemble(name, variant));
  assembled.set(key, bytes);
  return bytes;
};

/** @param {import('../../browser_runtime/page/engines/low_bits/wasm_kernels.js').Variant} variant */
export const openWasm = (variant) => WasmBackend.open(variant, loadKernel);
