/**
 * Protobuf messages, read field by field without a schema; what has a length is a view, not a copy.
 * Layout: https://protobuf.dev/programming-guides/encoding
 */
import { Fault } from '../../faults.js';

/**
 * The embedded messages under field number `wanted`.
 * @param {Uint8Array | undefined} message
 * @param {number} wanted
 */
export function* children(message, wanted) {
  for (const { field, value } of fields(message ?? new Uint8Array())) {
    if (field === wanted && typeof value !== 'number') yield value;
  }
}

/**
 * The fields of one protobuf message: numbers for varints, views for everything that has a length.
 * @param {Uint8Array} message
 * @returns {Generator<{field: number, value: number | Uint8Array}>}
 */
export function* fields(message) {
  let at = 0;
  while (at < message.length) {
    const [tag, start] = readVarint(message, at);
    const [value, end] = readValue(message, start, tag % 8);
    yield { field: Math.floor(tag / 8), value };
    at = end;
  }
}

/**
 * @param {Uint8Array} message
 * @param {number} at
 * @param {number} wire protobuf's wire type: 0 varint, 1 eight bytes, 2 length first, 5 four bytes
 * @returns {[number | Uint8Array, number]} the value and where it ends
 */
function readValue(message, at, wire) {
  if (wire === 0) return readVarint(message, at);
  const [size, start] = wire === 2 ? readVarint(message, at) : [wire === 1 ? 8 : 4, at];
  if (start + size > message.length || (wire !== 1 && wire !== 2 && wire !== 5)) {
    throw new Fault('BadInput', 'the model file', 'not readable as ONNX', 'a whole ONNX file');
  }
  return [message.subarray(start, start + size), start + size];
}

/**
 * @param {Uint8Array} message
 * @param {number} start
 * @returns {[number, number]} the number and where it ends
 */
function readVarint(message, start) {
  let value = 0;
  let at = start;
  // Multiplied, not shifted: sizes beyond 2 GiB would overflow 32 bits.
  for (let scale = 1; at < message.length; scale *= 128) {
    const byte = message[at++] ?? 0;
    value += (byte & 127) * scale;
    if (byte < 128) break;
  }
  return [value, at];
}
