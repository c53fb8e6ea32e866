/**
 * The cases of the log-mel shader: each beside its twin, checked and timed as those of cases.js are.
 */
import { awaitGpu } from '../engines/devices.js';
import { factor, LogMel } from '../engines/log_mel.js';
import { normal, uniform } from './random.js';
import { logMel } from './twins/log_mel.js';

/** @typedef {import('../engines/log_mel.js').Plan} Plan */
/** @typedef {{name: string, kernel: 'log_mel', points: number, hop: number, mels: number, length: number, count: number, decibels: boolean}} SoundCase */

export const KERNELS = 'log_mel webgpu';

/** @param {Omit<SoundCase, 'name' | 'kernel'>} sizes @returns {SoundCase} */
const sound = ({ points, hop, mels, length, count, decibels }) => ({
  name: `log_mel ${points} points, ${mels} mels, ${count} of ${length} samples${decibels ? ', decibels' : ''}`,
  kernel: 'log_mel',
  points,
  hop,
  mels,
  length,
  count,
  decibels,
});

const WHISPER = { points: 400, hop: 160, mels: 80, decibels: false };
const CLAP = { points: 1024, hop: 480, mels: 64, decibels: true };

/** @type {SoundCase[]} */
export const SOUND_CASES = [
  sound({ ...WHISPER, length: 3200, count: 3200 }),
  sound({ ...WHISPER, length: 6400, count: 1001 }),
  sound({ ...WHISPER, mels: 128, length: 1600, count: 1 }),
  sound({ ...CLAP, length: 4800, count: 4800 }),
  sound({ points: 34, hop: 16, mels: 5, length: 320, count: 200, decibels: false }),
];

/** What is only timed: a whole window of Whisper, two seconds in one, a whole window of CLAP. */
export const TIMED_SOUNDS = [
  sound({ ...WHISPER, length: 480_000, count: 480_000 }),
  sound({ ...WHISPER, length: 480_000, count: 32_000 }),
  sound({ ...CLAP, length: 480_000, count: 480_000 }),
];

/**
 * @param {GPUDevice} gpu
 * @param {SoundCase} row
 * @param {number} repeats
 * @returns {Promise<import('./outcomes.js').Outcome>}
 */
export async function checkSound(gpu, row, repeats) {
  const plan = planOf(row);
  const samples = chance(row.count);
  const kernel = await LogMel.open(gpu, plan);
  try {
    const took = [];
    let output = kernel.compute([samples]);
    await awaitGpu(gpu, gpu.queue.onSubmittedWorkDone());
    for (let run = 0; run < repeats; run++) {
      const started = performance.now();
      output = kernel.compute([samples]);
      await awaitGpu(gpu, gpu.queue.onSubmittedWorkDone());
      took.push(performance.now() - started);
    }
    const times = { ms: Math.min(...took), samples: took, bytes: samples.byteLength };
    if (TIMED_SOUNDS.includes(row)) return { got: [], wanted: [], tolerances: [], ...times };
    const [a, b] = factor(row.points);
    const { values, low, high } = logMel(samples, plan, a + b + 10);
    const tolerances = values.map((value, at) =>
      Math.max(value - (low[at] ?? 0), (high[at] ?? 0) - value, 1e-30),
    );
    return { got: await readBack(gpu, output), wanted: values, tolerances, ...times };
  } finally {
    kernel.release();
  }
}

/** @param {SoundCase} row @returns {Plan} */
function planOf({ points, hop, mels, length, decibels }) {
  return {
    length,
    points,
    hop,
    frames: Math.floor(length / hop) + (decibels ? 1 : 0),
    window: Float64Array.from({ length: points }, (_, j) => 0.5 - 0.5 * Math.cos((2 * Math.PI * j) / points)),
    filters: triangles(points / 2 + 1, mels),
    decibels,
  };
}

/** Triangles over the bins, wider with each. @param {number} bins @param {number} mels */
function triangles(bins, mels) {
  const place = (/** @type {number} */ at) => (bins - 1) * (at / (mels + 1)) ** 1.5;
  return Array.from({ length: mels }, (_, mel) => {
    const [from, middle, to] = [place(mel), place(mel + 1), place(mel + 2)];
    return Array.from({ length: bins }, (__, bin) =>
      Math.max(0, Math.min((bin - from) / (middle - from), (to - bin) / (to - middle))),
    );
  });
}

/** A tone in noise. @param {number} count */
export function chance(count) {
  const next = uniform(count);
  return Float32Array.from({ length: count }, (_, at) => 0.4 * Math.sin(at * 0.17) + 0.05 * normal(next));
}

/** Its numbers. @param {GPUDevice} gpu @param {GPUBuffer} buffer */
export async function readBack(gpu, buffer) {
  const copy = gpu.createBuffer({
    size: buffer.size,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  const encoder = gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, buffer.size);
  gpu.queue.submit([encoder.finish()]);
  await awaitGpu(gpu, copy.mapAsync(GPUMapMode.READ));
  const values = new Float32Array(copy.getMappedRange().slice(0));
  copy.destroy();
  return values;
}
