/**
 * Modules that follow the graph of a text model, those of sentence-transformers, on the CPU, in 64 bits. A vector has
 * a few hundred numbers, so one layer is less work than its way to a GPU and back.
 * Source: sentence-transformers 6.2, `base/modules` and `sentence_transformer/modules`.
 */
import { Fault } from '../../faults.js';
import { POOLS } from './pooling.js';

/** @typedef {import('./pooling.js').Hidden} Hidden */
/** @typedef {{data: Float32Array}} Numbers */
/**
 * @typedef {object} Module as `texts/module_weights.py` describes it
 * @property {string} type "pooling", which is the first, "dense", "layer_norm" or "normalize"
 * @property {string[]} [modes] of a pooling
 * @property {string} [activation] of a dense layer
 * @property {boolean} [residual]
 * @property {Numbers} [weight] [out, in] of a dense layer, [width] of a norm
 * @property {Numbers} [shift]
 * @property {Numbers} [projection] [out, in]
 */

// torch's own: of LayerNorm and of normalize.
const NORM_EPSILON = 1e-5;
const LENGTH_EPSILON = 1e-12;

/** @type {Record<string, (value: number) => number>} */
const ACTIVATIONS = {
  Identity: (value) => value,
  ReLU: (value) => Math.max(value, 0),
  Sigmoid: (value) => 1 / (1 + Math.exp(-value)),
  SiLU: (value) => value / (1 + Math.exp(-value)),
  GELU: (value) => 0.5 * value * (1 + erf(value / Math.SQRT2)),
  Tanh: Math.tanh,
};

/** @type {Record<string, (vector: Float64Array, module: Module) => Float64Array>} */
const STEPS = { dense: applyDense, layer_norm: applyLayerNorm, normalize: normalizeLength };

/**
 * The text's vector from its tokens' vectors.
 * @param {Module[]} modules
 * @param {Hidden} hidden
 * @param {number} row
 * @param {{ids: Int32Array, nPrompt: number}} tokens the first `nPrompt` take no part
 * @returns {Float64Array}
 */
export function applyModules(modules, hidden, row, { ids, nPrompt }) {
  const [pooling, ...rest] = modules;
  const parts = (pooling?.modes ?? []).map((mode) => choose(POOLS, mode)(hidden, row, nPrompt, ids.length));
  /** @type {Float64Array} */
  let vector = Float64Array.from(parts.flatMap((part) => [...part]));
  for (const module of rest) vector = choose(STEPS, module.type)(vector, module);
  return vector;
}

/**
 * The vector's first `dimensions` numbers, at length 1 where the request wants it. Raises BadInput.
 * @param {Float64Array} vector
 * @param {Record<string, unknown>} options
 * @returns {Float32Array}
 */
export function cutVector(vector, options) {
  const size = /** @type {number} */ (options.dimensions ?? vector.length);
  if (size > vector.length) {
    const allowed = `at most ${vector.length}, what the model gives`;
    throw new Fault('BadInput', 'options.dimensions', String(size), allowed);
  }
  const cut = vector.slice(0, size);
  return Float32Array.from(options.normalize === true ? normalizeLength(cut) : cut);
}

/**
 * The vector of length 1 in the same direction; one near zero stays near it.
 * @param {Float64Array} vector
 * @returns {Float64Array}
 */
export function normalizeLength(vector) {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return vector.map((value) => value / Math.max(length, LENGTH_EPSILON));
}

/**
 * @param {Float64Array} vector
 * @param {Module} module
 */
function applyDense(vector, { activation = '', residual, weight, shift, projection }) {
  const activate = choose(ACTIVATIONS, activation);
  const out = multiply(weight, vector).map((sum, at) => activate(sum + (shift?.data[at] ?? 0)));
  if (!residual) return out;
  const beside = projection ? multiply(projection, vector) : vector;
  return out.map((value, at) => value + (beside[at] ?? 0));
}

/**
 * @param {Numbers | undefined} matrix [out, in]
 * @param {Float64Array} vector [in]
 * @returns {Float64Array} [out]
 */
function multiply(matrix, vector) {
  const data = matrix?.data ?? new Float32Array();
  const width = vector.length;
  return Float64Array.from({ length: data.length / width }, (_, row) => {
    let sum = 0;
    for (let at = 0; at < width; at++) sum += (data[row * width + at] ?? 0) * (vector[at] ?? 0);
    return sum;
  });
}

/**
 * @param {Float64Array} vector
 * @param {Module} module
 */
function applyLayerNorm(vector, { weight, shift }) {
  const mean = vector.reduce((sum, value) => sum + value, 0) / vector.length;
  const variance = vector.reduce((sum, value) => sum + (value - mean) ** 2, 0) / vector.length;
  const scale = 1 / Math.sqrt(variance + NORM_EPSILON);
  return vector.map((value, at) => (value - mean) * scale * (weight?.data[at] ?? 1) + (shift?.data[at] ?? 0));
}

/**
 * The error function, to 2e-7. Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
 * @param {number} x
 */
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series =
    t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

/**
 * The entry of that name. Raises Unsupported for another: the worker knows more than this page does.
 * @template Entry
 * @param {Record<string, Entry>} table
 * @param {string} name
 * @returns {Entry}
 */
function choose(table, name) {
  const found = Object.hasOwn(table, name) ? table[name] : undefined;
  if (!found)
    throw new Fault('Unsupported', `the module ${name}`, `known are ${Object.keys(table).join(', ')}`);
  return found;
}
