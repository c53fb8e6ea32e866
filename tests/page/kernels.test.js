import assert from 'node:assert/strict';
import { test } from 'node:test';
import { variantsHere } from '../../browser_runtime/page/engines/low_bits/wasm_kernels.js';
import { kernelNames } from '../../browser_runtime/page/kernels/assemble.mjs';
import { CASES, checkCase } from '../../browser_runtime/page/kernels/cases.js';
import { checkEncoder, ENCODER_CASES } from '../../browser_runtime/page/kernels/encoder_cases.js';
import { time, worst } from '../../browser_runtime/page/kernels/outcomes.js';
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

for (const variant of /** @type {const} */ (['relaxed', 'simd'])) {
  for (const row of ENCODER_CASES) {
    test(`wasm ${variant}: ${row.name}`, async () => {
      const outcome = await checkEncoder(row, variant, 1, 0, loadKernel);
      assert.ok(worst(outcome) <= 1, `off by ${worst(outcome).toFixed(2)} times what is allowed`);
    });
  }
}

for (const bits of [2, 3, 4, 8, 16, 32]) {
  test(`${bits} bits: a token's numbers are the same to the bit, whichever others are computed with it`, async () => {
    /** @type {number[][]} */
    const outputs = [];
    for (const tokens of [1, 3, 6]) {
      const row = /** @type {const} */ ({ kernel: 'matmul', name: '', bits, rows: 13, columns: 229, tokens });
      outputs.push(Array.from((await checkCase(await openWasm('relaxed'), row)).got));
    }
    const [alone = [], ...more] = outputs;
    for (const output of more) assert.deepEqual(output.slice(0, 13), alone);
  });
}

test('an operation is timed by itself, though the browser notices late that it is done', async (t) => {
  let [now, pending, waits] = [0, 0, 0];
  t.mock.method(performance, 'now', () => now);
  const finish = async () => {
    now += pending * 0.006 + (waits % 5 === 0 ? 40 : 0.5);
    [pending, waits] = [0, waits + 1];
  };
  const compute = () => {
    pending += 1;
  };
  const { ms } = await time({ repeats: 3, sampleMs: 10 }, compute, finish);
  assert.ok(ms >= 0.006 && ms < 0.0075, `${ms}`);
});
