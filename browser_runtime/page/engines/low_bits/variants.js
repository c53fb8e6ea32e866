/**
 * The kernels that can run here, by name, and which of them is the quickest: found by measuring, and remembered. A
 * worker that knows the answer from another session with the same adapter and build passes the name and spares the
 * measuring.
 */
import { describe, Fault } from '../../faults.js';
import { CASES, checkCase, LARGE, PREFILL } from '../../kernels/cases.js';
import { worst } from '../../kernels/outcomes.js';
import { openDevice } from '../devices.js';
import { WasmBackend } from './wasm_backend.js';
import { variantsHere } from './wasm_kernels.js';
import { WebGpuBackend } from './webgpu_backend.js';
import { variantsOf } from './webgpu_shaders.js';

/** @typedef {import('./backend.js').Backend} Backend */
/** @typedef {{kernels: string, decode_ms: number, prefill_ms: number}} Measured */
/** @typedef {{kernels: string, variant?: import('./wasm_kernels.js').Variant, open: () => Promise<Backend>}} Choice `variant`: of WebAssembly's kernels */

const RUNS = 3;
// On a GPU an operation takes less time than it takes the browser to notice that it is done.
const SAMPLE_MS = 10;
// A driver may compile a kernel and compute nonsense.
const PROOFS = CASES.filter(({ kernel, name }) => kernel === 'matmul' && / 7x33/.test(name));
// A prompt has some times the tokens of a step that decodes: both count, what is waited for longest most.
const score = (/** @type {Measured} */ { decode_ms: decode, prefill_ms: prefill }) => decode + prefill / 8;
/** @type {Map<string, Promise<{kernels: string, measured: Measured[]}>>} */
const chosen = new Map();

/**
 * Every variant of a backend that this browser can run. Raises Unsupported.
 * @param {string} backend
 * @returns {Promise<Choice[]>}
 */
export async function listVariants(backend) {
  if (backend === 'wasm') {
    return variantsHere().map((variant) => ({
      kernels: `low_bits wasm ${variant}`,
      variant,
      open: () => WasmBackend.open(variant),
    }));
  }
  if (backend !== 'webgpu') throw new Fault('Unsupported', backend, 'low bits run on wasm and webgpu');
  const { gpu } = await openDevice('webgpu');
  const device = /** @type {GPUDevice} */ (gpu);
  return variantsOf(device).map((variant) => ({
    kernels: `low_bits webgpu ${variant.name}`,
    open: () => WebGpuBackend.open(device, variant),
  }));
}

/**
 * A fresh backend of the quickest kernels, and what was measured: now, or `before` by a lane of this adapter and build.
 * What was kept of kernels that are not here is measured anew. Raises Unsupported.
 * @param {string} backend
 * @param {{kernels: string, measured: Measured[]} | null} [kept]
 */
export async function openBackend(backend, kept) {
  const choices = await listVariants(backend);
  const find = (/** @type {string | undefined} */ name) => choices.find(({ kernels }) => kernels === name);
  const known = find(kept?.kernels);
  if (kept && known) return { backend: await known.open(), measured: kept.measured, before: true };
  const best = chosen.get(backend) ?? choose(choices);
  chosen.set(backend, best);
  const { kernels: name, measured } = await best;
  const choice = /** @type {Choice} */ (find(name));
  return { backend: await choice.open(), measured, before: false };
}

/** @param {Choice[]} choices */
async function choose(choices) {
  /** @type {Measured[]} */
  const measured = [];
  const failures = [];
  for (const choice of choices) {
    try {
      measured.push(await measure(choice));
    } catch (error) {
      failures.push(`${choice.kernels}: ${describe(error)}`);
    }
  }
  const best = measured.reduce((a, b) => (!a || score(b) < score(a) ? b : a), measured[0]);
  if (!best) throw new Fault('Unsupported', 'low bits', failures.join('; '));
  return { kernels: best.kernels, measured };
}

/**
 * The quickest of a few runs: a 2-bit 4096x2048 product, and 32 tokens by a matrix. Raises BadOutput where the numbers of
 * small products are wrong, and whatever opening and computing raise.
 * @param {Choice} choice
 * @returns {Promise<Measured>}
 */
export async function measure({ kernels, open }) {
  const sampleMs = kernels.includes('webgpu') ? SAMPLE_MS : 0;
  const home = await open();
  const run = (/** @type {import('../../kernels/cases.js').Case} */ row, withTwin = false) =>
    runBeside(home, async (backend) => {
      const outcome = await (withTwin
        ? checkCase(backend, row, 1, true)
        : checkCase(backend, row, RUNS, false, sampleMs));
      await backend.settle();
      return outcome;
    });
  try {
    for (const row of PROOFS) {
      const error = worst(await run(row, true));
      if (!(error <= 1))
        throw new Fault('BadOutput', `${row.name} by ${kernels} is off by ${error} times what is allowed`);
    }
    const [decode, prefill] = [await run(LARGE), await run(PREFILL)];
    return { kernels, decode_ms: decode.ms, prefill_ms: prefill.ms };
  } finally {
    home.release();
  }
}

/**
 * What `use` gives of a backend of its own, which goes afterwards; nothing is compiled again for it.
 * @template T
 * @param {Backend} home @param {(backend: Backend) => Promise<T>} use
 */
export async function runBeside(home, use) {
  const backend = home.sibling();
  try {
    return await use(backend);
  } finally {
    backend.release();
  }
}
