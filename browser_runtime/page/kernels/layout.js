/**
 * Where the parts of tensors and caches lie: README.md's tables as numbers. Pure; bytes throughout.
 */
import { Fault } from '../faults.js';

/** @typedef {2 | 3 | 4 | 8 | 16 | 32} MatrixBits */
/** @typedef {2 | 3 | 4 | 8 | 16} CacheBits */
/**
 * @typedef {object} MatrixLayout
 * @property {MatrixBits} bits
 * @property {number} rows
 * @property {number} columns
 * @property {number} paddedRows a multiple of 4 up to 8 bits, else `rows`
 * @property {number} paddedColumns a multiple of 64
 * @property {number} tiles in a row block
 * @property {number} blocks row blocks
 * @property {number} high where the section begins; `codes` of 8 bits and rows of 16 and 32 bits begin at 0
 * @property {number} groups at 8 bits: where `scales` begins
 * @property {number} rowScales where `rows` begins
 * @property {number} sizeBytes
 */
/**
 * @typedef {object} BlockLayout one packed block of 64 tokens of one head
 * @property {CacheBits} bits
 * @property {number} rows tokens for keys, channels for values
 * @property {number} columns channels for keys, tokens for values
 * @property {number} group rows of a group
 * @property {number} clip part of a group's range that is cut off at each end
 * @property {number} high
 * @property {number} scales
 * @property {number} minima
 * @property {number} sizeBytes
 */

export const BLOCK_TOKENS = 64;
const MATRIX_BITS = [2, 3, 4, 8, 16, 32];
const CACHE_BITS = [2, 3, 4, 8, 16];
/** @type {Record<'keys' | 'values', Record<number, number>>} */
const CLIPS = { keys: { 2: 1 / 32, 3: 1 / 32 }, values: { 2: 3 / 32, 3: 1 / 32 } };

/** @param {number} value @param {number} step */
export const roundUp = (value, step) => Math.ceil(value / step) * step;

/**
 * @param {readonly number[]} shape [rows, columns], or [columns] of a vector
 * @param {number} bits
 * @returns {MatrixLayout}
 */
export function layoutMatrix(shape, bits) {
  if (!MATRIX_BITS.includes(bits))
    throw new Fault('BadInput', 'bits', bits, `one of ${MATRIX_BITS.join(', ')}`);
  const [columns = 0, rows = 1] = shape.toReversed();
  const paddedColumns = roundUp(columns, 64);
  const tiles = paddedColumns / 64;
  const blocks = Math.ceil(rows / 4);
  const plain = { bits: /** @type {MatrixBits} */ (bits), rows, columns, paddedColumns, tiles, blocks };
  if (bits >= 16) {
    const sizeBytes = roundUp((rows * paddedColumns * bits) / 8, 64);
    return { ...plain, paddedRows: rows, high: 0, groups: 0, rowScales: 0, sizeBytes };
  }
  const n = tiles * blocks;
  if (bits === 8) {
    const sizeBytes = 256 * n + roundUp(16 * n, 64);
    return { ...plain, paddedRows: 4 * blocks, high: 0, groups: 256 * n, rowScales: 0, sizeBytes };
  }
  const high = 64 * n;
  const groups = roundUp(high + ({ 3: 32, 4: 64 }[bits] ?? 0) * n, 64);
  const rowScales = groups + roundUp(12 * n, 64);
  const sizeBytes = rowScales + roundUp(16 * blocks, 64);
  return { ...plain, paddedRows: 4 * blocks, high, groups, rowScales, sizeBytes };
}

/**
 * A packed block of keys or values.
 * @param {'keys' | 'values'} side
 * @param {number} bits
 * @param {number} headDim
 * @returns {BlockLayout}
 */
export function layoutBlock(side, bits, headDim) {
  if (!CACHE_BITS.includes(bits))
    throw new Fault('BadInput', 'kv_cache', bits, `one of ${CACHE_BITS.join(', ')}`);
  if (bits < 16 && headDim % 32 !== 0) {
    throw new Fault('Unsupported', `a cache of ${bits} bits`, `head_dim is ${headDim}, no multiple of 32`);
  }
  const isKeys = side === 'keys';
  const rows = isKeys ? BLOCK_TOKENS : headDim;
  const columns = isKeys ? headDim : BLOCK_TOKENS;
  const group = bits === 2 || rows % 64 !== 0 ? 32 : 64;
  const units = (rows / 4) * (columns / 32);
  const high = (bits === 8 ? 128 : 32) * units;
  const scales = high + ({ 3: 16, 4: 32 }[bits] ?? 0) * units;
  const minima = scales + (rows / group) * columns * 2;
  const sizeBytes = minima + (rows / group) * columns * 2;
  const clip = CLIPS[side][bits] ?? 0;
  return {
    bits: /** @type {CacheBits} */ (bits),
    rows,
    columns,
    group,
    clip,
    high,
    scales,
    minima,
    sizeBytes,
  };
}

/**
 * Where code (row, column) is: its byte in the low plane, its shift there; the same of the high plane.
 * @param {number} bits 2, 3 or 4
 * @param {number} row
 * @param {number} column
 * @param {number} groups columns / 32, padding included
 */
export function locateCode(bits, row, column, groups) {
  const unit = (row >> 2) * groups + (column >> 5);
  const word = (column >> 4) & 1;
  const plane = (column >> 2) & 3;
  const lane = 4 * (row & 3) + (column & 3);
  const low = 32 * unit + 16 * word + lane;
  if (bits === 3) {
    const highShift = 4 * (plane >> 1) + 2 * word + (plane & 1);
    return { low, shift: 2 * plane, high: 16 * unit + lane, highShift, highMask: 1 };
  }
  return { low, shift: 2 * plane, high: low, highShift: 2 * plane, highMask: 3 };
}

/** Where an 8-bit code is. @param {number} row @param {number} column @param {number} groups */
export const locateByte = (row, column, groups) =>
  128 * ((row >> 2) * groups + (column >> 5)) + 16 * ((column & 31) >> 2) + 4 * (row & 3) + (column & 3);

/** The window that is exact where none is asked for. @param {number} keyBits */
export const defaultWindow = (keyBits) => (keyBits === 2 ? 128 : 64);

/** The tokens that are packed once `length` tokens are computed. @param {number} length @param {number} window */
export const packedTokens = (length, window) =>
  Math.max(0, BLOCK_TOKENS * Math.floor(length / BLOCK_TOKENS) - window);
