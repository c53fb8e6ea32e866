/**
 * Images resized exactly as Pillow resizes them, so every browser feeds a model what its training saw; a canvas
 * would differ from browser to browser.
 * Source: Pillow, src/libImaging/Resample.c (antialiased, 8 bits between the passes). Width first, as in every Pillow
 * before 13, which trained today's models; Pillow 13 turns the order round for some sizes, to be faster.
 */
import { Fault } from '../faults.js';

/** @typedef {{data: Uint8Array, height: number, width: number, channels: number}} Pixels rows of interleaved bytes */
/** @typedef {{support: number, weigh: (distance: number) => number}} Filter */
/** @typedef {{first: number, weights: Int32Array}} Window the source pixels of one target pixel */

// Pillow's PRECISION_BITS: 32 less 8 for the pixel and 2 for overshoot.
const PRECISION_BITS = 22;
const ONE = 1 << PRECISION_BITS;
const HALF = ONE / 2;

/** By Pillow's number, which is also what preprocessor_config.json holds. @type {Record<number, Filter>} */
const FILTERS = {
  1: { support: 3, weigh: weighLanczos },
  2: { support: 1, weigh: (distance) => Math.max(1 - Math.abs(distance), 0) },
  3: { support: 2, weigh: weighCubic },
};

/**
 * `source` at another size. Raises Unsupported for a filter that is none of 1 (Lanczos), 2 (bilinear), 3 (bicubic).
 * @param {Pixels} source
 * @param {number} height
 * @param {number} width
 * @param {number} resample Pillow's number of the filter
 * @returns {Pixels}
 */
export function resize(source, height, width, resample) {
  const filter = FILTERS[resample];
  if (!filter) throw new Fault('Unsupported', `resample ${resample}`, 'known are 1, 2 and 3');
  const wide = source.width === width ? source : resizeRows(source, width, filter);
  return wide.height === height ? wide : resizeColumns(wide, height, filter);
}

/**
 * @param {Pixels} source
 * @param {number} width
 * @param {Filter} filter
 * @returns {Pixels}
 */
function resizeRows({ data, height, width: sourceWidth, channels }, width, filter) {
  const target = new Uint8Array(height * width * channels);
  const windows = planWindows(sourceWidth, width, filter);
  for (let row = 0; row < height; row++) {
    windows.forEach((window, column) => {
      const from = (row * sourceWidth + window.first) * channels;
      blend(data, from, channels, window.weights, target, (row * width + column) * channels, channels);
    });
  }
  return { data: target, height, width, channels };
}

/**
 * @param {Pixels} source
 * @param {number} height
 * @param {Filter} filter
 * @returns {Pixels}
 */
function resizeColumns({ data, height: sourceHeight, width, channels }, height, filter) {
  const stride = width * channels;
  const target = new Uint8Array(height * stride);
  planWindows(sourceHeight, height, filter).forEach((window, row) => {
    blend(data, window.first * stride, stride, window.weights, target, row * stride, stride);
  });
  return { data: target, height, width, channels };
}

/**
 * Writes `count` bytes, each the weighted sum of source bytes `stride` apart, rounded and clipped as Pillow does.
 * @param {Uint8Array} source
 * @param {number} from
 * @param {number} stride
 * @param {Int32Array} weights
 * @param {Uint8Array} target
 * @param {number} to
 * @param {number} count
 */
function blend(source, from, stride, weights, target, to, count) {
  for (let at = 0; at < count; at++) {
    let sum = HALF;
    for (let tap = 0; tap < weights.length; tap++) {
      // Never beyond 32 bits: 255 * ONE times the filters' overshoot is below 2^31.
      sum += /** @type {number} */ (source[from + at + tap * stride]) * /** @type {number} */ (weights[tap]);
    }
    target[to + at] = Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
  }
}

/**
 * For each target pixel the source pixels that make it up, and their fixed-point weights.
 * @param {number} sourceSize
 * @param {number} targetSize
 * @param {Filter} filter
 * @returns {Window[]}
 */
function planWindows(sourceSize, targetSize, filter) {
  const scale = sourceSize / targetSize;
  // Shrinking widens the filter, which is what antialiases.
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  return Array.from({ length: targetSize }, (_, target) => {
    const centre = (target + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const count = Math.min(Math.trunc(centre + support + 0.5), sourceSize) - first;
    const raw = Array.from({ length: count }, (_, tap) =>
      filter.weigh((tap + first - centre + 0.5) / stretch),
    );
    return { first, weights: toFixedPoint(raw) };
  });
}

/**
 * Weights that sum to one, in fixed point, rounded away from zero at the half.
 * @param {number[]} raw
 */
function toFixedPoint(raw) {
  const sum = raw.reduce((total, weight) => total + weight, 0);
  return Int32Array.from(raw, (weight) => {
    const scaled = (weight / sum) * ONE;
    return Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
  });
}

/** @param {number} distance */
function weighCubic(distance) {
  // Pillow's a, which is Keys' choice too; OpenCV's is -0.75.
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** @param {number} distance */
function weighLanczos(distance) {
  return distance >= -3 && distance < 3 ? sinc(distance) * sinc(distance / 3) : 0;
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}
