/**
 * The two ways from samples to the features of an encoder: transformers.js on the CPU, and a compute shader that leaves
 * them on the encoder's own device. Which is quicker is measured once for an adapter, for a short sound and a long one.
 */
import { awaitGpu } from '../../engines/devices.js';
import { findObstacle, LogMel } from '../../engines/log_mel.js';
import { describe } from '../../faults.js';
import { chance, readBack } from '../../kernels/sound_cases.js';

/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {import('../contract.js').Graph} Graph */
/** @typedef {import('../../engines/log_mel.js').Plan} Plan */
/** @typedef {{kernels: string, short_ms: number, long_ms: number}} Measured of a second of sound, and of a whole window */
/**
 * @typedef {object} Library what transformers.js makes of sounds, and what is done to them for the shader
 * @property {(samples: Float32Array) => Promise<Float32Array>} extract features
 * @property {(samples: Float32Array) => Float32Array} fill the sound as the shader hears it: repeated, where `extract` does so
 * @property {number} rate samples of a second
 */

export const SHADER = 'log_mel webgpu';
export const LIBRARY = 'transformers.js';
// The same numbers in float32 and float64: of noise, in which no bin is empty, they agree to a few millionths. Decibels
// have ten times the size, Whisper's features a quarter of it.
const MOST_OFF = 1e-3;

export class FrontEnds {
  /**
   * @param {LogMel | null} shader
   * @param {string} obstacle why there is none; empty where nobody could expect one
   * @param {{plan: string, measured: Measured[], measured_before: boolean} | null} timed
   * @param {number} rate samples of a second
   */
  constructor(shader, obstacle = '', timed = null, rate = 1) {
    this.shader = shader;
    this.obstacle = obstacle;
    this.timed = timed;
    this.rate = rate;
  }

  /** Numbers that make another key of a result: those of the shader are not the library's to the bit. */
  get signature() {
    if (!this.shader) return [];
    const { points, hop, frames, length, filters, window, decibels } = this.shader.plan;
    return [
      Int32Array.of(points, hop, frames, length, filters.length, Number(decibels)),
      Float32Array.from(filters.flatMap((filter) => Array.from(filter))),
      Float32Array.from(window),
    ];
  }

  /** True where the shader was quicker for so many samples. @param {number} count */
  prefersShader(count) {
    const times = new Map(this.timed?.measured.map((row) => [row.kernels, row]));
    const [shader, library] = [times.get(SHADER), times.get(LIBRARY)];
    if (!this.shader || !shader || !library) return false;
    const { length } = this.shader.plan;
    const share = length > this.rate ? Math.max(count - this.rate, 0) / (length - this.rate) : 1;
    const expect = (/** @type {Measured} */ { short_ms: short, long_ms: long }) =>
      short + share * (long - short);
    return expect(shader) < expect(library);
  }

  /** What a reply tells of them. */
  describe() {
    return this.timed ? { front_ends: this.timed } : {};
  }

  release() {
    this.shader?.release();
  }
}

/** The front ends of one call: which it takes, and what came of it. */
export class Hearing {
  #ran = false;

  /** @param {FrontEnds} frontEnds @param {boolean | null | undefined} wanted null: the quicker one */
  constructor(frontEnds, wanted) {
    this.frontEnds = frontEnds;
    this.wanted = wanted ?? null;
  }

  /** The shader where it is to be used for so many samples, else null. @param {number} count */
  takeShader(count) {
    const { shader } = this.frontEnds;
    return (this.wanted ?? this.frontEnds.prefersShader(count)) ? shader : null;
  }

  /** Notes that the shader computed something. */
  note() {
    this.#ran = true;
  }

  /** For the answer to a run. @returns {{acceleration: string[], not_accelerated: Record<string, string>}} */
  report() {
    if (this.#ran) return { acceleration: ['compute_shaders'], not_accelerated: {} };
    const why = this.frontEnds.shader
      ? 'nothing was computed: the encoder had heard all of it before'
      : this.frontEnds.obstacle;
    const told = this.wanted === true && why !== '';
    return { acceleration: [], not_accelerated: told ? { compute_shaders: why } : {} };
  }
}

/**
 * The front ends of a model; the shader where its encoder is on WebGPU and takes what it makes, and where its numbers are
 * right on this adapter.
 * @param {Opening} opening
 * @param {Graph} encoder
 * @param {Plan} plan
 * @param {Library} library
 * @returns {Promise<FrontEnds>}
 */
export async function openFrontEnds(opening, encoder, plan, library) {
  if (encoder.backend !== 'webgpu') return new FrontEnds(null);
  const obstacle = findObstacle(plan) || findTypeObstacle(encoder);
  if (obstacle) return new FrontEnds(null, obstacle);
  const timed = opening.front_ends?.[namePlan(plan)];
  // Timing both takes a software adapter seconds, so it waits until somebody asks.
  if (!timed && opening.acceleration?.compute_shaders !== true) return new FrontEnds(null);
  const { gpu } = await opening.realm.openDevice('webgpu');
  const device = /** @type {GPUDevice} */ (gpu);
  const name = namePlan(plan);
  const { rate } = library;
  let shader = null;
  try {
    shader = await LogMel.open(device, plan);
    if (timed) return new FrontEnds(shader, '', { plan: name, measured: timed, measured_before: true }, rate);
    const measured = await measure(device, shader, library);
    return new FrontEnds(shader, '', { plan: name, measured, measured_before: false }, rate);
  } catch (error) {
    shader?.release();
    return new FrontEnds(null, `the shader fails on this adapter: ${describe(error)}`);
  }
}

/** By which times are kept. @param {Plan} plan */
const namePlan = ({ points, hop, filters, length }) => [points, hop, filters.length, length].join(' ');

/** @param {Graph} encoder */
function findTypeObstacle({ inputMetadata }) {
  const input = inputMetadata.find(({ name }) => name === 'input_features');
  const type = input?.isTensor ? input.type : 'nothing';
  return type === 'float32' ? '' : `its encoder takes ${type}, and the shader gives float32`;
}

/**
 * The times of both. Raises where their numbers differ.
 * @param {GPUDevice} gpu
 * @param {LogMel} shader
 * @param {Library} library
 * @returns {Promise<Measured[]>}
 */
async function measure(gpu, shader, { extract, fill, rate }) {
  const { length } = shader.plan;
  const [short, long] = [chance(Math.min(rate, length)), chance(length)];
  const wanted = await extract(short);
  const got = await readBack(gpu, shader.compute([fill(short)]));
  const off = wanted.reduce((most, value, at) => Math.max(most, Math.abs(value - (got[at] ?? NaN))), 0);
  if (!(off < MOST_OFF)) throw new Error(`its features are off by ${off}`);
  const compute = async (/** @type {Float32Array} */ samples) => {
    shader.compute([fill(samples)]);
    await awaitGpu(gpu, gpu.queue.onSubmittedWorkDone());
  };
  const rows = [];
  for (const [kernels, run] of /** @type {[string, (samples: Float32Array) => Promise<unknown>][]} */ ([
    [SHADER, compute],
    [LIBRARY, extract],
  ])) {
    rows.push({ kernels, short_ms: await timeMs(run, short), long_ms: await timeMs(run, long) });
  }
  return rows;
}

/** Of one run: those that found the numbers right have compiled what there was. */
async function timeMs(
  /** @type {(samples: Float32Array) => Promise<unknown>} */ run,
  /** @type {Float32Array} */ samples,
) {
  const started = performance.now();
  await run(samples);
  return performance.now() - started;
}

/**
 * Features on the device, as an input of a graph there.
 * @param {typeof import('onnxruntime-common')} ort
 * @param {GPUBuffer} buffer
 * @param {number[]} dims
 */
export function holdFeatures(ort, buffer, dims) {
  const options = /** @type {any} */ ({ dataType: 'float32', dims });
  return ort.Tensor.fromGpuBuffer(/** @type {any} */ (buffer), options);
}
