/** Kernels timed in this browser, for `webinfer bench kernels`: ours, onnxruntime's, a plain copy, a read-back. */
import { CASES, checkCase, TIMED } from '../../kernels/cases.js';
import { checkEncoder, ENCODER_CASES, TIMED_ENCODERS } from '../../kernels/encoder_cases.js';
import { worst } from '../../kernels/outcomes.js';
import { checkSound, KERNELS, SOUND_CASES, TIMED_SOUNDS } from '../../kernels/sound_cases.js';
import { awaitGpu, openDevice } from '../devices.js';
import { openGraph } from '../graphs.js';
import { openRuntime } from '../runtimes.js';
import { AHEAD } from './model.js';
import { listVariants } from './variants.js';

const SAMPLES = 7;
const SAMPLE_MS = 10;
// Larger than any cache.
const COPY_BYTES = 96 * 2 ** 20;

/** @typedef {import('../runtimes.js').Backend} BackendName */

/**
 * What a call `kernels` with `bench` asks for: `cases`, the names; `case`, one of them on `kernels`; `copy`, bytes
 * copied a second; `readback`, a submission of one dispatch that is waited for; `graph`, a product by onnxruntime.
 * @param {Record<string, unknown>} call
 */
export async function bench(call) {
  const backend = /** @type {BackendName} */ (call.backend);
  switch (call.bench) {
    case 'cases':
      return listCases(backend);
    case 'case':
      return timeCase(backend, String(call.kernels), String(call.name));
    case 'copy':
      return { bytes_per_s: backend === 'webgpu' ? await copyOnGpu() : copyInMemory() };
    case 'readback':
      return { samples: await timeReadback(String(call.kernels)), tokens: AHEAD };
    default:
      return timeGraph(backend, call);
  }
}

/** @param {BackendName} backend */
async function listCases(backend) {
  const variants = await listVariants(backend);
  const { adapter } = await openDevice(backend);
  const cases = [...CASES, ...TIMED].map((row) => ({
    name: row.name,
    kernel: row.kernel,
    bits: row.kernel === 'matmul' ? row.bits : null,
    shape: row.kernel === 'matmul' ? [row.rows, row.columns, row.tokens] : null,
  }));
  const sounds = backend === 'webgpu' ? [...SOUND_CASES, ...TIMED_SOUNDS] : [];
  const encoders = backend === 'wasm' ? [...ENCODER_CASES, ...TIMED_ENCODERS] : [];
  return {
    adapter: adapter.name,
    kernels: variants.map(({ kernels }) => kernels),
    cases,
    others: [
      ...sounds.map(({ name }) => ({ name, kernels: KERNELS })),
      ...variants.flatMap(({ kernels }) => encoders.map(({ name }) => ({ name, kernels }))),
    ],
  };
}

/** @param {BackendName} backend @param {string} kernels */
async function findVariant(backend, kernels) {
  const choice = (await listVariants(backend)).find((variant) => variant.kernels === kernels);
  if (!choice) throw new Error(`no kernels ${kernels}`);
  return choice;
}

/** What an answer tells of a case. @param {import('../../kernels/outcomes.js').Outcome} outcome */
const told = (outcome) => ({ samples: outcome.samples, bytes: outcome.bytes, error: worst(outcome) });

/** @param {BackendName} backend @param {string} kernels @param {string} name */
async function timeCase(backend, kernels, name) {
  if (kernels === KERNELS) return timeSound(name);
  const encoder = [...ENCODER_CASES, ...TIMED_ENCODERS].find((one) => one.name === name);
  if (encoder) return timeEncoder(encoder, await findVariant(backend, kernels));
  const row = [...CASES, ...TIMED].find((one) => one.name === name);
  if (!row) throw new Error(`no case ${name}`);
  const opened = await (await findVariant(backend, kernels)).open();
  try {
    return told(await checkCase(opened, row, SAMPLES, true, SAMPLE_MS));
  } finally {
    opened.release();
  }
}

/** @param {import('../../kernels/encoder_cases.js').EncoderCase} row @param {import('./variants.js').Choice} choice */
async function timeEncoder(row, { kernels, variant }) {
  if (!variant) throw new Error(`no encoders by ${kernels}`);
  return told(await checkEncoder(row, variant, SAMPLES, SAMPLE_MS));
}

/** @param {string} name */
async function timeSound(name) {
  const row = [...SOUND_CASES, ...TIMED_SOUNDS].find((one) => one.name === name);
  if (!row) throw new Error(`no case ${name}`);
  const { gpu } = await openDevice('webgpu');
  return told(await checkSound(/** @type {GPUDevice} */ (gpu), row, SAMPLES));
}

/** Bytes read and written a second by the browser's own copy. */
function copyInMemory() {
  const memory = new Uint8Array(2 * COPY_BYTES).fill(1);
  const seconds = Array.from({ length: SAMPLES }, () => {
    const started = performance.now();
    memory.copyWithin(COPY_BYTES, 0, COPY_BYTES);
    return (performance.now() - started) / 1000;
  });
  return (2 * COPY_BYTES) / Math.min(...seconds);
}

/** Bytes read and written a second by the adapter's own copy. */
async function copyOnGpu() {
  const { gpu } = await openDevice('webgpu');
  const device = /** @type {GPUDevice} */ (gpu);
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [0, 1].map(() => device.createBuffer({ size: COPY_BYTES, usage }));
  const samples = [];
  for (let run = 0; run < SAMPLES; run++) {
    const started = performance.now();
    const encoder = device.createCommandEncoder();
    // Four, so that the waiting counts little.
    for (let i = 0; i < 4; i++) {
      encoder.copyBufferToBuffer(
        /** @type {GPUBuffer} */ (from),
        0,
        /** @type {GPUBuffer} */ (to),
        0,
        COPY_BYTES,
      );
    }
    device.queue.submit([encoder.finish()]);
    await awaitGpu(device, device.queue.onSubmittedWorkDone());
    samples.push((performance.now() - started) / 4000);
  }
  from?.destroy();
  to?.destroy();
  return (2 * COPY_BYTES) / Math.min(...samples);
}

/** Milliseconds from a submission of next to nothing until its numbers are here. @param {string} kernels */
async function timeReadback(kernels) {
  const backend = await (await findVariant('webgpu', kernels)).open();
  try {
    const rows = backend.rows(1, 64);
    const samples = [];
    for (let run = 0; run < 3 * SAMPLES; run++) {
      backend.begin([{ slot: 0, position: 0, token: 0 }]);
      const started = performance.now();
      backend.quantize(rows, 1);
      await backend.read(rows, 1);
      samples.push(performance.now() - started);
    }
    // The first compiles.
    return samples.slice(1);
  } finally {
    backend.release();
  }
}

/** @param {BackendName} backend @param {Record<string, unknown>} call `graph`, its bytes; `x`, float32 [tokens, columns] */
async function timeGraph(backend, { graph, x, shape }) {
  const device = await openDevice(backend);
  const { ort } = await openRuntime(backend);
  const bytes = /** @type {Uint8Array} */ (/** @type {{data: Uint8Array}} */ (graph).data ?? graph);
  const values = /** @type {{data: Float32Array}} */ (x).data ?? x;
  const opened = await openGraph({ device, bytes, names: { model: 'bench', graph: 'product' } });
  try {
    const feeds = { x: new ort.Tensor('float32', values, /** @type {number[]} */ (shape)) };
    let outputs = await opened.run(feeds);
    const samples = [];
    for (let run = 0; run < SAMPLES; run++) {
      const started = performance.now();
      outputs = await opened.run(feeds);
      samples.push(performance.now() - started);
    }
    const data = await outputs.y?.getData();
    return { samples, y: data, placement: opened.placement };
  } finally {
    await opened.release();
  }
}
