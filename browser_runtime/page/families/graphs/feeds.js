/**
 * Feeds of a graph, in the types and sizes that its own inputs declare: exporters differ in the integers they take,
 * in which inputs they keep, and in whether the batch and the sequence have one size. The twin of
 * `simulation/feeds.py`.
 */
import { Fault } from '../../faults.js';
import { floatTensor } from './floats.js';

/** @typedef {import('./dimension_names.js').Shape} Shape */
/** @typedef {import('onnxruntime-common').Tensor} Tensor */
/** @typedef {import('onnxruntime-common').InferenceSession.ValueMetadata} Metadata */
/** @typedef {typeof import('onnxruntime-common')} Ort */
/** @typedef {{data: Int32Array | Float32Array, dims: number[]}} Values */
/**
 * @typedef {object} TextShape the sizes that a text graph takes
 * @property {number | null} rows texts in a batch; null where any number will do
 * @property {number | null} columns tokens of a text, padded or cut; null where any number will do
 * @property {number | null} positionRows
 * @property {boolean} canPad true if the graph can tell padding from text
 */

/** @type {Record<string, (ort: Ort, values: Values) => Tensor>} */
const MAKERS = {
  int32: (ort, { data, dims }) => new ort.Tensor('int32', Int32Array.from(data), dims),
  int64: (ort, { data, dims }) => new ort.Tensor('int64', BigInt64Array.from(data, BigInt), dims),
  bool: (ort, { data, dims }) =>
    new ort.Tensor(
      'bool',
      Uint8Array.from(data, (value) => Number(value !== 0)),
      dims,
    ),
  float32: (ort, { data, dims }) => floatTensor(ort, 'float32', toFloats(data), dims),
  float16: (ort, { data, dims }) => floatTensor(ort, 'float16', toFloats(data), dims),
  float64: (ort, { data, dims }) => new ort.Tensor('float64', Float64Array.from(data), dims),
};

/** @param {Int32Array | Float32Array} data */
const toFloats = (data) => (data instanceof Float32Array ? data : Float32Array.from(data));

/**
 * A tensor for each input of the graph, in its own type; values that it lacks are left out. Raises ModelFault naming
 * an input that nothing is known for, or that has another shape or holds no numbers.
 * @param {Ort} ort
 * @param {{model: string, inputMetadata: readonly Metadata[]}} graph
 * @param {Record<string, Values>} values
 * @returns {Record<string, Tensor>}
 */
export function makeFeeds(ort, { model, inputMetadata }, values) {
  return Object.fromEntries(
    inputMetadata.map((input) => [input.name, makeTensor(ort, model, input, values)]),
  );
}

/**
 * @param {Ort} ort
 * @param {string} model
 * @param {Metadata} input
 * @param {Record<string, Values>} values
 */
function makeTensor(ort, model, input, values) {
  const { name } = input;
  const found = values[name];
  if (!found) {
    const known = Object.keys(values).join(', ');
    throw new Fault('ModelFault', model, `nothing is known for the graph input ${name}, only for ${known}`);
  }
  const make = input.isTensor ? MAKERS[input.type] : undefined;
  if (!input.isTensor || !make) {
    const known = Object.keys(MAKERS).join(', ');
    throw new Fault('ModelFault', model, `the graph input ${name} takes none of ${known}`);
  }
  checkSizes(model, name, input.shape, found.dims);
  return make(ort, found);
}

/**
 * Raises ModelFault when what is fed has another shape than the graph declares.
 * @param {string} model
 * @param {string} name of the input
 * @param {readonly (string | number)[] | undefined} declared
 * @param {number[]} dims a size below 0 stands for any
 */
export function checkSizes(model, name, declared, dims) {
  if (!declared || declared.length === 0) return;
  const fits = (/** @type {string | number} */ size, /** @type {number} */ axis) =>
    !isFixed(size) || size === dims[axis] || Number(dims[axis]) < 0;
  if (declared.length === dims.length && declared.every(fits)) return;
  const problem = `the graph input ${name} declares the shape [${declared.join(', ')}], not [${dims.join(', ')}]`;
  throw new Fault('ModelFault', model, problem);
}

/** @param {string | number | undefined} size @returns {size is number} */
const isFixed = (size) => typeof size === 'number' && size > 0;

/**
 * The one size that an axis has; null where any will do.
 * @param {Record<string, Shape>} shapes as the file declares them
 * @param {string} input
 * @param {number} axis
 */
export function fixedSize(shapes, input, axis) {
  const size = shapes[input]?.[axis];
  return isFixed(size) ? size : null;
}

/**
 * The sizes that a text graph takes. Raises ModelFault if padding would be read as text.
 * @param {string} model
 * @param {Record<string, Shape>} shapes as the file declares them
 * @returns {TextShape}
 */
export function readTextShape(model, shapes) {
  const canPad = 'attention_mask' in shapes;
  const columns = fixedSize(shapes, 'input_ids', 1);
  if (columns !== null && !canPad) {
    const why = `its graph takes texts of ${columns} tokens and no attention_mask`;
    throw new Fault('ModelFault', model, `${why}, so it would read padding as text`);
  }
  const rows = fixedSize(shapes, 'input_ids', 0);
  return { rows, columns, positionRows: fixedSize(shapes, 'position_ids', 0), canPad };
}
