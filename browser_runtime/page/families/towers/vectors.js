/**
 * Vectors that a graph gives a batch, and how two of them compare.
 */
import { Fault } from '../../faults.js';
import { checkFinite, readFloats } from '../graphs/floats.js';

/** @typedef {{data: Float32Array, width: number}} Vectors `data` is [rows, width] */

/**
 * The vectors among the outputs. Raises ModelFault when the graph gives none.
 * @param {import('../contract.js').Graph} graph
 * @param {import('../contract.js').Tensors} outputs
 * @param {string[]} names the preferred one first
 * @param {number} rows
 * @returns {Vectors}
 */
export function readVectors(graph, outputs, names, rows) {
  const tensor = names.map((name) => outputs[name]).find(Boolean);
  if (!tensor) {
    const given = graph.outputNames.join(', ');
    throw new Fault('ModelFault', graph.model, `its graph gives ${given} but none of ${names.join(', ')}`);
  }
  const [given, width = 0] = tensor.dims;
  if (tensor.dims.length !== 2 || given !== rows)
    throw new Fault('ModelFault', graph.model, `its graph gives [${tensor.dims}], not a vector an item`);
  return { data: readFloats(tensor), width };
}

/**
 * The first `count` of the vectors, each a result of its own.
 * @param {Vectors} vectors
 * @param {number} count
 * @returns {import('../graphs/recall.js').Made<Float32Array>[]}
 */
export function splitVectors({ data, width }, count) {
  return Array.from({ length: count }, (_, row) => {
    const value = data.slice(row * width, (row + 1) * width);
    return { value, sizeBytes: value.byteLength };
  });
}

/**
 * Vectors of several results, which are released.
 * @param {import('../graphs/recall.js').Use<Float32Array>[]} uses
 * @returns {Vectors}
 */
export function joinVectors(uses) {
  const width = uses[0]?.value.length ?? 0;
  const data = new Float32Array(uses.length * width);
  for (const [row, { value, release }] of uses.entries()) {
    data.set(value, row * width);
    release();
  }
  return { data, width };
}

/**
 * One of the vectors. Raises BadOutput where it holds what is no number, or nothing but zeros.
 * @param {Vectors} vectors
 * @param {number} row
 */
export function readVector({ data, width }, row) {
  const vector = data.slice(row * width, (row + 1) * width);
  checkFinite(vector, 'embedding value');
  if (vector.every((value) => value === 0)) throw new Fault('BadOutput', 'the embedding is all zeros');
  return vector;
}

/**
 * The cosine of two vectors, in 64 bits; 0 where one of them is all zeros.
 * @param {Float32Array} one
 * @param {Float32Array} other
 */
export function cosine(one, other) {
  const length = norm(one) * norm(other);
  let sum = 0;
  for (const [at, value] of one.entries()) sum += value * (other[at] ?? 0);
  return length === 0 ? 0 : sum / length;
}

/**
 * The vector at length 1.
 * @param {Float32Array} vector
 */
export function normalize(vector) {
  const length = norm(vector);
  return length === 0 ? vector : vector.map((value) => value / length);
}

/** @param {Float32Array} vector */
function norm(vector) {
  return Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
}
