import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { WasmBackend } from '../../browser_runtime/page/engines/low_bits/wasm_backend.js';
import { variantsHere } from '../../browser_runtime/page/engines/low_bits/wasm_kernels.js';
import { assemble, kernelNames } from '../../browser_runtime/page/kernels/assemble.mjs';
import { CASES, checkCase, worst } from '../../browser_runtime/page/kernels/cases.js';

// Node 20 has relaxed SIMD behind a flag, browsers have it without.
setFlagsFromString('--experimental-wasm-relaxed-simd');

/** @type {Map<string, Promise<BufferSource>>} */
const assembled = new Map();
/** @type {import('../../browser_runtime/page/engines/low_bits/wasm_kernels.js').LoadKernel} */
const load = (name, variant) => {
  const key = `${variant}/${name}`;
  const bytes = assembled.get(key) ?? /** @type {Promise<BufferSource>} */ (assemble(name, variant));
  assembled.set(key, bytes);
  return bytes;
};

test('every kernel is assembled, with relaxed SIMD and without', async () => {
  for (const name of await kernelNames()) {
    for (const variant of variantsHere()) assert.ok(WebAssembly.validate(await load(name, variant)), name);
  }
  assert.deepEqual(variantsHere(), ['relaxed', 'simd']);
});

for (const variant of /** @type {const} */ (['relaxed', 'simd'])) {
  for (const row of CASES) {
    test(`wasm ${variant}: ${row.name}`, async () => {
      const outcome = await checkCase(await WasmBackend.open(variant, load), row);
      assert.ok(worst(outcome) <= 1, `off by ${worst(outcome).toFixed(2)} times what is allowed`);
    });
  }
}
