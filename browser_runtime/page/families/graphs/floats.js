/**
 * Floats in and out of tensors, whichever float type the graph declares.
 */
import { Fault } from '../../faults.js';

/** @typedef {import('onnxruntime-common').Tensor} Tensor */

/**
 * A tensor of the graph's float type. Raises Unsupported where the browser has no 16-bit floats.
 * @param {typeof import('onnxruntime-common')} ort
 * @param {string} type "float32" or "float16"
 * @param {Float32Array} data
 * @param {number[]} dims
 * @returns {Tensor}
 */
export function floatTensor(ort, type, data, dims) {
  if (type !== 'float16') return new ort.Tensor('float32', data, dims);
  const halves = /** @type {any} */ (float16Array()).from(data);
  return new ort.Tensor('float16', halves, dims);
}

/**
 * The tensor's numbers as 32-bit floats; a view where they are that already.
 * @param {Tensor} tensor on the CPU
 * @returns {Float32Array}
 */
export function readFloats(tensor) {
  if (tensor.data instanceof Float32Array) return tensor.data;
  const { buffer, byteOffset } = /** @type {Uint16Array} */ (tensor.data);
  return Float32Array.from(new (float16Array())(buffer, byteOffset, tensor.size));
}

/**
 * The bytes of a tensor of floats, wherever it is.
 * @param {Tensor} tensor
 */
export function countBytes({ type, dims }) {
  return (type === 'float16' ? 2 : 4) * dims.reduce((product, size) => product * size, 1);
}

/**
 * Raises BadOutput naming the first number that is NaN or infinite.
 * @param {Float32Array} numbers
 * @param {string} what
 */
export function checkFinite(numbers, what) {
  const at = numbers.findIndex((number) => !Number.isFinite(number));
  if (at >= 0) throw new Fault('BadOutput', `${what} ${at} is ${numbers[at]}`);
}

/** The browser's Float16Array: TypeScript's libraries do not know it yet. */
function float16Array() {
  const found = /** @type {any} */ (globalThis).Float16Array;
  if (!found) throw new Fault('Unsupported', 'a graph with 16-bit inputs or outputs', 'no Float16Array here');
  return /** @type {new (buffer: ArrayBufferLike, offset: number, length: number) => Iterable<number>} */ (
    found
  );
}
