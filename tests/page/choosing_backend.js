/** A backend on WebAssembly that chooses tokens by itself, as WebGPU does: what was recorded is computed pass by pass. */
import { Sampler } from '../../browser_runtime/page/engines/low_bits/sampler.js';
import { openWasm } from './wasm_kernels.js';

/** @typedef {import('../../browser_runtime/page/engines/low_bits/backend.js').Backend} Backend */
/** @typedef {import('../../browser_runtime/page/engines/low_bits/backend.js').RowChoice} RowChoice */
/** @typedef {import('../../browser_runtime/page/engines/low_bits/backend.js').StepRow} StepRow */

/** Its `readings` count how often something was read back. @returns {Promise<Backend & {readings: number}>} */
export async function openChoosing() {
  return wrap(await openWasm('relaxed'), { readings: 0 });
}

/** @param {Backend} wasm @param {{readings: number}} counts @returns {Backend & {readings: number}} */
function wrap(wasm, counts) {
  /** @type {StepRow[]} */
  let rows = [];
  /** @type {Sampler[]} */
  let samplers = [];
  /** @type {(() => Promise<number[]>)[]} */
  let passes = [];
  /** @type {(() => void)[]} */
  let recorded = [];
  const choosing = {
    get readings() {
      return counts.readings;
    },
    sibling: () => wrap(wasm.sibling(), counts),
    /** @param {StepRow[]} step */
    begin(step) {
      rows = step;
      recorded = [];
      passes = [];
    },
    /** @param {unknown} _ @param {RowChoice[]} choices */
    prepareChoice(_, choices) {
      samplers = choices.map(({ temperature, topK, topP, penalty, chances, seen }) => {
        const sampling = { temperature, top_k: topK, top_p: topP, repetition_penalty: penalty };
        return new Sampler(sampling, [...seen], () => chances.shift() ?? 0);
      });
    },
    /** @param {import('../../browser_runtime/page/engines/low_bits/backend.js').Rows} logits */
    choose(logits) {
      const operations = recorded;
      recorded = [];
      passes.push(async () => {
        wasm.begin(rows);
        for (const compute of operations) compute();
        const found = await wasm.read(logits, rows.length);
        const tokens = found.map((row, index) => /** @type {Sampler} */ (samplers[index]).sample(row));
        rows = rows.map((row, index) => ({ ...row, position: row.position + 1, token: tokens[index] ?? 0 }));
        return tokens;
      });
    },
    async chosen() {
      const tokens = [];
      for (const pass of passes) tokens.push(...(await pass()));
      counts.readings += 1;
      return Uint32Array.from(tokens);
    },
    /** @param {import('../../browser_runtime/page/engines/low_bits/backend.js').Rows} x @param {number} n */
    async read(x, n) {
      wasm.begin(rows);
      for (const compute of recorded) compute();
      recorded = [];
      counts.readings += 1;
      return wasm.read(x, n);
    },
  };
  const later = [
    'embed',
    'norm',
    'headNorm',
    'quantize',
    'matmul',
    'addBias',
    'add',
    'rope',
    'append',
    'attend',
  ];
  return /** @type {any} */ (
    new Proxy(wasm, {
      get(target, name) {
        if (name in choosing) return Reflect.get(choosing, name);
        const found = Reflect.get(target, name);
        if (typeof found !== 'function') return found;
        const call = found.bind(target);
        const isRecorded = [...later, 'silu'].includes(String(name));
        return isRecorded ? (/** @type {unknown[]} */ ...args) => recorded.push(() => call(...args)) : call;
      },
    })
  );
}
