/**
 * Inputs of zeros for any graph: what compiles its shaders before the first request.
 */
import { Fault } from '../faults.js';

/** @typedef {import('onnxruntime-common').Tensor} Tensor */
/** @typedef {import('onnxruntime-common').InferenceSession.ValueMetadata} Metadata */
/** @typedef {import('./runtimes.js').Ort} Ort */

/** @type {Partial<Record<Tensor['type'], new (length: number) => ArrayBufferView>>} */
const ARRAYS = {
  float32: Float32Array,
  float16: Uint16Array,
  float64: Float64Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/**
 * A tensor of zeros for each input; dimensions that are still free count 1.
 * @param {readonly Metadata[]} inputs
 * @param {Ort} ort
 * @returns {Record<string, Tensor>}
 */
export function makeZeros(inputs, ort) {
  return Object.fromEntries(inputs.map((input) => [input.name, zeros(input, ort)]));
}

/** True for a dimension whose size is known. @param {number | string} size @returns {size is number} */
export const isSize = (size) => typeof size === 'number' && size >= 0;

/** @param {Metadata} input @param {Ort} ort @returns {Tensor} */
function zeros(input, ort) {
  const Numbers = input.isTensor ? ARRAYS[input.type] : undefined;
  if (!input.isTensor || !Numbers)
    throw new Fault('Unsupported', `input ${input.name}`, 'it holds no numbers');
  const dims = input.shape.map((size) => (isSize(size) ? size : 1));
  const count = dims.reduce((product, size) => product * size, 1);
  return new ort.Tensor(input.type, /** @type {any} */ (new Numbers(count)), dims);
}
