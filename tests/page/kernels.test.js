import assert from 'node:assert/strict';
import { test } from 'node:test';
import { variantsHere } from '../../browser_runtime/page/engines/low_bits/wasm_kernels.js';
import { kernelNames } from '../../browser_runtime/page/kernels/assemble.mjs';
import { CASES, checkCase, worst } from '../../browser_runtime/page/kernels/cases.js';
import { loadKernel, openWasm } from './wasm_kernels.js';

test('every kernel is assembled, with relaxed SIMD and without', async () => {
  for (const name of await kernelNames()) {
    for (const variant of variantsHere())
      assert.ok(WebAssembly.validate(await loadKernel(name, variant)), name);
  }
  assert.deepEqual(variantsHere(), ['relaxed', 'simd']);
});

for (const variant of /** @type {const} */ (['relaxed', 'simd'])) {
  for (const row of CASES) {
    test(`wasm ${variant}: ${row.name}`, async () => {
      const outcome = await checkCase(await openWasm(variant), row);
      assert.ok(worst(outcome) <= 1, `off by ${worst(outcome).toFixed(2)} times what is allowed`);
    });
  }
}
