/**
 * One vector a text from the vectors of its tokens. Sums are taken in 64 bits and stored in 32.
 */
import { Fault } from '../faults.js';

/** @typedef {{data: Float32Array, columns: number, width: number}} Hidden `data` is [rows, columns, width] */
/** @typedef {(hidden: Hidden, row: number, tokens: number) => Float32Array} Pool */

/** @type {Record<string, Pool>} */
const POOLS = { mean: poolMean, cls: poolFirst };

/**
 * The pooling of that name. Raises Unsupported for another.
 * @param {string} name
 * @returns {Pool}
 */
export function choosePool(name) {
  const pool = POOLS[name];
  if (!pool) throw new Fault('Unsupported', `pooling ${name}`, `known are ${Object.keys(POOLS).join(', ')}`);
  return pool;
}

/**
 * The mean over the row's first `tokens` vectors: the others are padding.
 * @type {Pool}
 */
export function poolMean({ data, columns, width }, row, tokens) {
  const sums = new Float64Array(width);
  const start = row * columns * width;
  for (let token = 0; token < tokens; token++) {
    for (let at = 0; at < width; at++) sums[at] = (sums[at] ?? 0) + (data[start + token * width + at] ?? 0);
  }
  return Float32Array.from(sums, (sum) => sum / tokens);
}

/**
 * The vector of the row's first token, [CLS] in BERT.
 * @type {Pool}
 */
export function poolFirst({ data, columns, width }, row) {
  const start = row * columns * width;
  return data.slice(start, start + width);
}

/**
 * The vector of length 1 in the same direction; the zero vector stays what it is.
 * @param {Float32Array} vector
 * @returns {Float32Array}
 */
export function normalizeLength(vector) {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / Math.max(length, Number.MIN_VALUE));
}
