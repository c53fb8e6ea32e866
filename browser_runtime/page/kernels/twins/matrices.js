/**
 * Packed matrices in plain JavaScript: written from their numbers, read row by row, multiplied in float64.
 */
import { locateByte, locateCode } from '../layout.js';
import { fromHalf, roundEven, toHalf } from './halves.js';

/** @typedef {import('../layout.js').MatrixLayout} MatrixLayout */
/**
 * @typedef {object} Parts what a packed matrix is made of; arrays are row by row
 * @property {ArrayLike<number>} q codes [rows][columns]
 * @property {ArrayLike<number>} scales cs [rows][groups], or s at 8 bits
 * @property {ArrayLike<number>} [minima] cm [rows][groups]
 * @property {ArrayLike<number>} [rowScales] S [rows]
 * @property {ArrayLike<number>} [rowMinima] M [rows]
 */

/**
 * The tensor's bytes.
 * @param {MatrixLayout} layout of 2, 3, 4 or 8 bits
 * @param {Parts} parts
 */
export function packMatrix(layout, parts) {
  const bytes = new Uint8Array(layout.sizeBytes);
  for (let row = 0; row < layout.rows; row++) {
    for (let column = 0; column < layout.columns; column++) {
      putCode(bytes, layout, row, column, parts.q[row * layout.columns + column] ?? 0);
    }
    putScales(new DataView(bytes.buffer), layout, row, parts);
  }
  return bytes;
}

/** @param {Uint8Array} bytes @param {MatrixLayout} layout @param {number} row @param {number} column @param {number} q */
function putCode(bytes, layout, row, column, q) {
  const groups = 2 * layout.tiles;
  if (layout.bits === 8) {
    bytes[locateByte(row, column, groups)] = q;
    return;
  }
  const at = locateCode(layout.bits, row, column, groups);
  const low = at.low;
  bytes[low] = (bytes[low] ?? 0) | ((q & 3) << at.shift);
  const high = layout.high + at.high;
  if (layout.bits > 2) bytes[high] = (bytes[high] ?? 0) | ((q >> 2) << at.highShift);
}

/** @param {DataView} view @param {MatrixLayout} layout @param {number} row @param {Parts} parts */
function putScales(view, layout, row, { scales, minima = [], rowScales = [], rowMinima = [] }) {
  const groups = Math.ceil(layout.columns / 32);
  const r = row & 3;
  for (let group = 0; group < groups; group++) {
    const tile = (row >> 2) * layout.tiles + (group >> 1);
    const half = group & 1;
    const scale = scales[row * groups + group] ?? 0;
    if (layout.bits === 8) {
      view.setUint16(layout.groups + 16 * tile + 8 * half + 2 * r, toHalf(scale), true);
      continue;
    }
    const at = layout.groups + 12 * tile + 3 * r;
    const held = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    const word = held | (scale << (6 * half)) | ((minima[row * groups + group] ?? 0) << (12 + 6 * half));
    view.setUint16(at, word & 0xffff, true);
    view.setUint8(at + 2, word >>> 16);
  }
  if (layout.bits === 8) return;
  view.setUint16(layout.rowScales + 16 * (row >> 2) + 2 * r, toHalf(rowScales[row] ?? 0), true);
  view.setUint16(layout.rowScales + 16 * (row >> 2) + 8 + 2 * r, toHalf(rowMinima[row] ?? 0), true);
}

/**
 * Row `row` as numbers, padding left out.
 * @param {Uint8Array} bytes the tensor
 * @param {MatrixLayout} layout
 * @param {number} row
 * @param {Float32Array} [out] [columns]
 * @param {Float32Array} [minima] [columns] receives each number's minimum, which is part of it
 */
export function readRow(bytes, layout, row, out = new Float32Array(layout.columns), minima) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (layout.bits >= 16) return readPlainRow(view, layout, row, out);
  const read = layout.bits === 8 ? readByteGroup : readPlaneGroup;
  for (let group = 0; group * 32 < layout.columns; group++) read(view, layout, row, group, out, minima);
  return out;
}

/** @param {DataView} view @param {MatrixLayout} layout @param {number} row @param {Float32Array} out */
function readPlainRow(view, layout, row, out) {
  const size = layout.bits / 8;
  for (let column = 0; column < layout.columns; column++) {
    const at = (row * layout.paddedColumns + column) * size;
    out[column] = size === 4 ? view.getFloat32(at, true) : fromHalf(view.getUint16(at, true));
  }
  return out;
}

/** @param {DataView} view @param {MatrixLayout} layout @param {number} row @param {number} group @param {Float32Array} out */
function readByteGroup(view, layout, row, group, out) {
  const tile = (row >> 2) * layout.tiles + (group >> 1);
  const scale = fromHalf(view.getUint16(layout.groups + 16 * tile + 8 * (group & 1) + 2 * (row & 3), true));
  const end = Math.min(32 * group + 32, layout.columns);
  for (let column = 32 * group; column < end; column++) {
    out[column] = scale * view.getInt8(locateByte(row, column, 2 * layout.tiles));
  }
}

/**
 * @param {DataView} view @param {MatrixLayout} layout @param {number} row @param {number} group
 * @param {Float32Array} out @param {Float32Array} [minima]
 */
function readPlaneGroup(view, layout, row, group, out, minima) {
  const { scale, minimum } = readScales(view, layout, row, group);
  const end = Math.min(32 * group + 32, layout.columns);
  minima?.fill(minimum, 32 * group, end);
  for (let column = 32 * group; column < end; column++) {
    const at = locateCode(layout.bits, row, column, 2 * layout.tiles);
    const low = (view.getUint8(at.low) >> at.shift) & 3;
    const high = layout.bits > 2 ? (view.getUint8(layout.high + at.high) >> at.highShift) & at.highMask : 0;
    out[column] = scale * (low | (high << 2)) + minimum;
  }
}

/** @param {DataView} view @param {MatrixLayout} layout @param {number} row @param {number} group */
function readScales(view, layout, row, group) {
  const r = row & 3;
  const at = layout.groups + 12 * ((row >> 2) * layout.tiles + (group >> 1)) + 3 * r;
  const word = (view.getUint16(at, true) | (view.getUint8(at + 2) << 16)) >>> (6 * (group & 1));
  const rows = layout.rowScales + 16 * (row >> 2) + 2 * r;
  return {
    scale: fromHalf(view.getUint16(rows, true)) * (word & 63),
    minimum: fromHalf(view.getUint16(rows + 8, true)) * ((word >>> 12) & 63),
  };
}

/**
 * Activations as int8, a scale a group of 32; and what they then stand for.
 * @param {Float32Array} x a multiple of 32
 */
export function quantize(x) {
  const codes = new Int8Array(x.length);
  const scales = new Float32Array(x.length / 16);
  for (let group = 0; group * 32 < x.length; group++) {
    const values = x.subarray(32 * group, 32 * group + 32);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const inverse = largest > 0 ? Math.fround(127 / largest) : 0;
    const scale = Math.fround(largest / 127);
    let sum = 0;
    for (const [index, value] of values.entries()) {
      const code = roundEven(Math.fround(value * inverse));
      codes[32 * group + index] = code;
      sum += code;
    }
    scales[2 * group] = scale;
    scales[2 * group + 1] = Math.fround(scale * sum);
  }
  const values = Float64Array.from(codes, (code, index) => code * (scales[2 * (index >> 5)] ?? 0));
  return { codes, scales, values };
}

/**
 * Y = X W^T in float64; and for each output the sum of its terms' sizes, which bounds what float32 may lose (codes and
 * minima are summed apart).
 * @param {Uint8Array} bytes
 * @param {MatrixLayout} layout
 * @param {Float32Array} x [tokens][paddedColumns]
 * @param {number} tokens
 */
export function multiply(bytes, layout, x, tokens) {
  const input = layout.bits < 16 ? quantize(x).values : x;
  const y = new Float64Array(tokens * layout.rows);
  const sizes = new Float64Array(tokens * layout.rows);
  const w = new Float32Array(layout.columns);
  const minima = new Float32Array(layout.columns);
  for (let row = 0; row < layout.rows; row++) {
    readRow(bytes, layout, row, w, minima);
    for (let token = 0; token < tokens; token++) {
      const vector = input.subarray(
        token * layout.paddedColumns,
        token * layout.paddedColumns + layout.columns,
      );
      const at = token * layout.rows + row;
      for (const [column, value] of vector.entries()) {
        const weight = w[column] ?? 0;
        y[at] = (y[at] ?? 0) + weight * value;
        sizes[at] =
          (sizes[at] ?? 0) + (Math.abs(weight) + 2 * Math.abs(minima[column] ?? 0)) * Math.abs(value);
      }
    }
  }
  return { y, sizes };
}
