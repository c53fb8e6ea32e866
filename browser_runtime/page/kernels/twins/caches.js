/** The cache of keys and values in plain JavaScript: blocks packed and read, attention over both parts. */
import { locateByte, locateCode } from '../layout.js';
import { fromHalf, roundEven, toHalf } from './halves.js';
import { softmax } from './operations.js';

/** @typedef {import('../layout.js').BlockLayout} BlockLayout */

/**
 * A packed block.
 * @param {BlockLayout} layout
 * @param {(row: number, column: number) => number} value fp16 values, as numbers
 */
export function packBlock(layout, value) {
  const bytes = new Uint8Array(layout.sizeBytes);
  const view = new DataView(bytes.buffer);
  for (let first = 0; first < layout.rows; first += layout.group) {
    for (let column = 0; column < layout.columns; column++) {
      const values = Array.from({ length: layout.group }, (_, index) => value(first + index, column));
      const { s, m, codes } = packGroup(values, layout.bits, layout.clip);
      const at = 2 * ((first / layout.group) * layout.columns + column);
      view.setUint16(layout.scales + at, s, true);
      view.setUint16(layout.minima + at, m, true);
      for (const [index, code] of codes.entries()) putCode(bytes, layout, first + index, column, code);
    }
  }
  return bytes;
}

/** @param {number[]} values @param {number} bits @param {number} clip */
function packGroup(values, bits, clip) {
  const levels = 2 ** bits - 1;
  const low = Math.min(...values);
  const span = Math.fround(Math.max(...values) - low);
  const s = toHalf(Math.fround(Math.fround(span * (1 - 2 * clip)) / levels));
  const m = toHalf(Math.fround(low + Math.fround(span * clip)));
  const [scale, minimum] = [fromHalf(s), fromHalf(m)];
  const encode = (/** @type {number} */ x) =>
    Math.min(levels, Math.max(0, roundEven(Math.fround(Math.fround(x - minimum) / scale))));
  return { s, m, codes: values.map((x) => (scale > 0 ? encode(x) : 0)) };
}

/** @param {Uint8Array} bytes @param {BlockLayout} layout @param {number} row @param {number} column @param {number} q */
function putCode(bytes, layout, row, column, q) {
  const groups = layout.columns / 32;
  if (layout.bits === 8) {
    bytes[locateByte(row, column, groups)] = q;
    return;
  }
  const at = locateCode(layout.bits, row, column, groups);
  bytes[at.low] = (bytes[at.low] ?? 0) | ((q & 3) << at.shift);
  const high = layout.high + at.high;
  if (layout.bits > 2) bytes[high] = (bytes[high] ?? 0) | ((q >> 2) << at.highShift);
}

/**
 * What a packed block stands for: float64 [rows][columns].
 * @param {Uint8Array} bytes
 * @param {BlockLayout} layout
 */
export function readBlock(bytes, layout) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float64Array(layout.rows * layout.columns);
  for (let row = 0; row < layout.rows; row++) {
    for (let column = 0; column < layout.columns; column++) {
      const at = 2 * (Math.floor(row / layout.group) * layout.columns + column);
      const s = fromHalf(view.getUint16(layout.scales + at, true));
      const m = fromHalf(view.getUint16(layout.minima + at, true));
      values[row * layout.columns + column] = s * readCode(view, layout, row, column) + m;
    }
  }
  return values;
}

/** @param {DataView} view @param {BlockLayout} layout @param {number} row @param {number} column */
function readCode(view, layout, row, column) {
  const groups = layout.columns / 32;
  if (layout.bits === 8) return view.getUint8(locateByte(row, column, groups));
  const at = locateCode(layout.bits, row, column, groups);
  const low = (view.getUint8(at.low) >> at.shift) & 3;
  const high = layout.bits > 2 ? (view.getUint8(layout.high + at.high) >> at.highShift) & at.highMask : 0;
  return low | (high << 2);
}

/**
 * Attention of one head: keys and values as they stand in the cache, token by token.
 * @param {ArrayLike<number>} q [headDim]
 * @param {(token: number, channel: number) => number} key
 * @param {(token: number, channel: number) => number} value
 * @param {number} tokens
 */
export function attend(q, key, value, tokens) {
  const scores = Float64Array.from({ length: tokens }, (_, token) => {
    let score = 0;
    for (let d = 0; d < q.length; d++) score += (q[d] ?? 0) * key(token, d);
    return score;
  });
  const p = softmax(scores, 1 / Math.sqrt(q.length));
  const out = new Float64Array(q.length);
  for (let token = 0; token < tokens; token++) {
    for (let d = 0; d < q.length; d++) out[d] = (out[d] ?? 0) + (p[token] ?? 0) * value(token, d);
  }
  return out;
}
