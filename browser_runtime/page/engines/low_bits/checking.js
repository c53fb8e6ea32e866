/** The case table run in this browser: every kernel checked against its twin, and timed. */
import { CASES, checkCase, LARGE } from '../../kernels/cases.js';
import { CHOICES } from '../../kernels/choice_cases.js';
import { checkEncoder, ENCODER_CASES } from '../../kernels/encoder_cases.js';
import { worst } from '../../kernels/outcomes.js';
import { checkSound, KERNELS, SOUND_CASES } from '../../kernels/sound_cases.js';
import { openDevice } from '../devices.js';
import { listVariants, openBackend, runBeside } from './variants.js';

/**
 * Answers a lane's call `kernels`: for each variant of a backend, every case; or which variant is the quickest.
 * @param {Record<string, unknown>} call `backend`; `repeats`: timed runs of a case; `large`: only the large one;
 *   `sizes`: only cases whose names this regular expression finds; `choose`: only choose; `bench`: see benching.js
 * @param {() => boolean} isCancelled
 */
export async function checkKernels(
  { backend, repeats = 1, large = false, sizes = '', choose = false, bench = '', ...more },
  isCancelled,
) {
  if (bench) return (await import('./benching.js')).bench({ backend, bench, ...more });
  const found = new RegExp(String(sizes));
  if (choose) {
    const { backend: opened, measured } = await openBackend(String(backend));
    opened.release();
    return { kernels: opened.kernels, measured };
  }
  const results = [];
  for (const [index, { kernels, variant, open }] of (await listVariants(String(backend))).entries()) {
    // WebGPU's variants differ in their products alone.
    const isSame = backend === 'webgpu' && index > 0;
    const rows = large
      ? [LARGE]
      : [...CASES, ...(backend === 'webgpu' ? CHOICES : [])].filter(
          ({ kernel, name }) => found.test(name) && (!isSame || kernel === 'matmul'),
        );
    const cases = [];
    const home = await open();
    try {
      for (const row of rows) {
        if (isCancelled()) return { results };
        const outcome = await runBeside(home, (backend) => checkCase(backend, row, Number(repeats)));
        cases.push(told(row.name, outcome));
        // A lane that computes hears nothing.
        await new Promise((resolve) => setTimeout(resolve));
      }
    } finally {
      home.release();
    }
    if (variant && !large) cases.push(...(await checkEncoders(found, Number(repeats), variant)));
    results.push({ kernels, cases });
  }
  if (backend === 'webgpu' && !large) results.push(await checkSounds(found, Number(repeats)));
  return { results };
}

/** What an answer tells of a case. @param {string} name @param {import('../../kernels/outcomes.js').Outcome} outcome */
const told = (name, outcome) => ({ name, error: worst(outcome), ms: outcome.ms, bytes: outcome.bytes });

/** @param {RegExp} found @param {number} repeats @param {import('./wasm_kernels.js').Variant} variant */
async function checkEncoders(found, repeats, variant) {
  const cases = [];
  for (const row of ENCODER_CASES.filter(({ name }) => found.test(name))) {
    const outcome = await checkEncoder(row, variant, repeats);
    cases.push(told(row.name, outcome));
  }
  return cases;
}

/** @param {RegExp} found @param {number} repeats */
async function checkSounds(found, repeats) {
  const { gpu } = await openDevice('webgpu');
  const cases = [];
  for (const row of SOUND_CASES.filter(({ name }) => found.test(name))) {
    const outcome = await checkSound(/** @type {GPUDevice} */ (gpu), row, repeats);
    cases.push(told(row.name, outcome));
  }
  return { kernels: KERNELS, cases };
}
