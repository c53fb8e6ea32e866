/**
 * The bits of a graph's weights, read from the ONNX file itself: what a file is called says little of what it holds.
 * Layout: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
import { children, fields } from './protobuf.js';

// Field numbers of onnx.proto.
const MODEL_GRAPH = 7;
const GRAPH_NODE = 1;
const GRAPH_INITIALIZER = 5;
const NODE_INPUT = 1;
const NODE_OPERATOR = 4;
const NODE_ATTRIBUTE = 5;
const ATTRIBUTE_NAME = 1;
const ATTRIBUTE_NUMBER = 3;
const ATTRIBUTE_GRAPH = 6;
const TENSOR_TYPE = 2;
const TENSOR_NAME = 8;

// TensorProto.DataType: floats of 32, 16 and 16 bits, integers of 8 and 4.
/** @type {Record<number, number>} */
const BITS = { 1: 32, 10: 16, 16: 16, 2: 8, 3: 8, 21: 4, 22: 4 };
// Where an operator has its matrix; the packed ones name their bits in an attribute.
/** @type {Record<string, number>} */
const MATRIX = { MatMul: 1, MatMulInteger: 1, Gemm: 1, MatMulNBits: 1, Gather: 0, GatherBlockQuantized: 0 };
const PACKED = ['MatMulNBits', 'GatherBlockQuantized'];
const PACKED_BITS = 4;

const TEXT = new TextDecoder();

/**
 * The numbers of bits that the matrices of the graph have, ascending; each once.
 * @param {Uint8Array} bytes an ONNX file
 * @returns {number[]}
 */
export function readWeightBits(bytes) {
  /** @type {Set<number>} */
  const found = new Set();
  for (const graph of children(bytes, MODEL_GRAPH)) addGraph(graph, new Map(), found);
  return [...found].sort((a, b) => a - b);
}

/**
 * @param {Uint8Array} graph
 * @param {Map<string, number>} outer the weights of the graphs around it, with their types
 * @param {Set<number>} found
 */
function addGraph(graph, outer, found) {
  const types = new Map(outer);
  for (const tensor of children(graph, GRAPH_INITIALIZER))
    types.set(readText(tensor, TENSOR_NAME), readNumber(tensor, TENSOR_TYPE));
  for (const node of children(graph, GRAPH_NODE)) {
    const attributes = [...children(node, NODE_ATTRIBUTE)];
    for (const attribute of attributes) {
      for (const inner of children(attribute, ATTRIBUTE_GRAPH)) addGraph(inner, types, found);
    }
    const operator = readText(node, NODE_OPERATOR);
    const place = MATRIX[operator];
    if (place === undefined) continue;
    const type = types.get(TEXT.decode([...children(node, NODE_INPUT)][place]));
    const bits = PACKED.includes(operator) ? readPackedBits(attributes) : BITS[type ?? 0];
    if (type !== undefined && bits !== undefined) found.add(bits);
  }
}

/** @param {Uint8Array[]} attributes */
function readPackedBits(attributes) {
  const bits = attributes.find((attribute) => readText(attribute, ATTRIBUTE_NAME) === 'bits');
  return bits ? readNumber(bits, ATTRIBUTE_NUMBER) : PACKED_BITS;
}

/** @param {Uint8Array} message @param {number} wanted */
function readText(message, wanted) {
  const [text] = children(message, wanted);
  return TEXT.decode(text);
}

/** @param {Uint8Array} message @param {number} wanted */
function readNumber(message, wanted) {
  for (const { field, value } of fields(message)) {
    if (field === wanted && typeof value === 'number') return value;
  }
  return 0;
}
