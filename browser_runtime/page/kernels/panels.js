/**
 * What products of an encoder read: 8-bit weights as int16, a scale a row, in panels of eight rows; and tokens as int16
 * in panels of five. The layouts are those of wasm/matwide.wat and wasm/widen.wat. Pure.
 */
import { readRow } from './twins/matrices.js';

/** @typedef {import('./layout.js').MatrixLayout} MatrixLayout */

export const PANEL_ROWS = 8;
export const PANEL_TOKENS = 5;
// Finer than the 8 bits that they come from: their groups' scales become one a row.
export const WEIGHT_LIMIT = 2047;
const MAX_CODE = 32767;
const MAX_SUM = 2 ** 31 - 1;

/**
 * The rows of a matrix, a multiple of eight, as panels; `longest` is the largest sum of sizes of a row's codes.
 * @param {Uint8Array} bytes the tensor
 * @param {MatrixLayout} layout of 8 bits
 * @param {Int16Array} codes [rows / 8][columns / 2][8][2]
 * @param {Float32Array} scales [rows]
 * @returns {{longest: number}}
 */
export function widenMatrix(bytes, layout, codes, scales) {
  const { rows, columns } = layout;
  const w = new Float32Array(columns);
  let longest = 0;
  for (let row = 0; row < rows; row++) {
    readRow(bytes, layout, row, w);
    const largest = w.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const inverse = largest > 0 ? WEIGHT_LIMIT / largest : 0;
    scales[row] = largest / WEIGHT_LIMIT;
    const first = PANEL_ROWS * columns * Math.floor(row / PANEL_ROWS) + 2 * (row % PANEL_ROWS);
    let sum = 0;
    for (let column = 0; column < columns; column++) {
      const code = Math.round((w[column] ?? 0) * inverse);
      codes[first + 2 * PANEL_ROWS * (column >> 1) + (column & 1)] = code;
      sum += Math.abs(code);
    }
    longest = Math.max(longest, sum);
  }
  return { longest };
}

/** The largest code of a token with which no sum leaves 32 bits. @param {number} longest of the matrix's rows */
export const activationLimit = (longest) => Math.min(MAX_CODE, Math.floor(MAX_SUM / Math.max(longest, 1)));
