/**
 * The names that an ONNX file gives to its inputs' dimensions, read from the file itself: a static shape is asked
 * for by these names before any session exists, and onnxruntime silently ignores a name that the graph lacks.
 * Layout: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
import { Fault } from '../../faults.js';
import { children, fields } from './protobuf.js';

/** @typedef {(string | number)[]} Shape a name, or a fixed size; '' where the file says neither */

// Field numbers of onnx.proto.
const MODEL_GRAPH = 7;
const GRAPH_INPUT = 11;
const VALUE_NAME = 1;
const VALUE_TYPE = 2;
const TYPE_TENSOR = 1;
const TENSOR_SHAPE = 2;
const SHAPE_DIMENSION = 1;
const DIMENSION_SIZE = 1;
const DIMENSION_NAME = 2;

const TEXT = new TextDecoder();

/**
 * Each input's declared shape, by input name. Weights are skipped by their length, not read.
 * @param {Uint8Array} bytes an ONNX file
 * @returns {Record<string, Shape>}
 */
export function readInputShapes(bytes) {
  const inputs = [...children(bytes, MODEL_GRAPH)].flatMap((graph) => [...children(graph, GRAPH_INPUT)]);
  return Object.fromEntries(inputs.map((input) => [readName(input), readShape(input)]));
}

/**
 * The free dimensions that make the graph static: `wanted` sizes under the names that `shapes` declares.
 * Raises Unsupported when a dimension is fixed to another size, or has no name to ask for it by.
 * @param {Record<string, Shape>} shapes
 * @param {Record<string, number[]>} wanted
 * @returns {Record<string, number>}
 */
export function bindDimensions(shapes, wanted) {
  /** @type {Record<string, number>} */
  const bound = {};
  for (const [input, sizes] of Object.entries(wanted)) {
    sizes.forEach((size, axis) => {
      bindDimension(bound, shapes[input]?.[axis] ?? '', size, `dimension ${axis} of input ${input}`);
    });
  }
  return bound;
}

/**
 * @param {Record<string, number>} bound
 * @param {string | number} declared
 * @param {number} size
 * @param {string} place
 */
function bindDimension(bound, declared, size, place) {
  if (declared === size) return;
  if (typeof declared === 'number' || declared === '') {
    throw new Fault(
      'Unsupported',
      `size ${size} for ${place}`,
      `the graph declares ${declared || 'no name'}`,
    );
  }
  if (bound[declared] !== undefined && bound[declared] !== size) {
    throw new Fault('Unsupported', `size ${size} for ${place}`, `${declared} is ${bound[declared]} already`);
  }
  bound[declared] = size;
}

/** @param {Uint8Array} input a ValueInfoProto */
function readName(input) {
  const [name] = children(input, VALUE_NAME);
  return TEXT.decode(name);
}

/**
 * @param {Uint8Array} input a ValueInfoProto
 * @returns {Shape}
 */
function readShape(input) {
  const [type] = children(input, VALUE_TYPE);
  const [tensor] = children(type, TYPE_TENSOR);
  const [shape] = children(tensor, TENSOR_SHAPE);
  return [...children(shape, SHAPE_DIMENSION)].map(readDimension);
}

/** @param {Uint8Array} dimension */
function readDimension(dimension) {
  for (const { field, value } of fields(dimension)) {
    if (field === DIMENSION_SIZE && typeof value === 'number') return value;
    if (field === DIMENSION_NAME && typeof value !== 'number') return TEXT.decode(value);
  }
  return '';
}
