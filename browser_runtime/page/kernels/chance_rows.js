/** Rows and matrices of chance, and how they come to a backend. */
import { layoutMatrix } from './layout.js';
import { normal } from './random.js';
import { toHalf } from './twins/halves.js';
import { packMatrix } from './twins/matrices.js';

/** @typedef {import('../engines/low_bits/backend.js').Backend} Backend */
/** @typedef {import('../engines/low_bits/backend.js').Rows} Rows */
/** @typedef {import('./layout.js').MatrixLayout} MatrixLayout */

/** Rows of chance on the backend: written as a float32 matrix of its own and embedded. */
export function fillRows(
  /** @type {Backend} */ backend,
  /** @type {Rows} */ rows,
  /** @type {Float32Array} */ values,
  /** @type {number} */ n,
) {
  const layout = layoutMatrix([n, rows.columns], 32);
  const matrix = backend.matrix(layout);
  const padded = new Float32Array(n * layout.paddedColumns);
  for (let row = 0; row < n; row++) {
    const from = row * rows.columns;
    padded.set(values.subarray(from, from + rows.columns), row * layout.paddedColumns);
  }
  backend.write(matrix, 0, new Uint8Array(padded.buffer));
  backend.embed(matrix, rows);
  return padded;
}

export const step = (/** @type {number} */ n, position = 0) =>
  Array.from({ length: n }, (_, index) => ({ slot: 0, position: position + index, token: index }));

export const chance = (/** @type {number} */ n, /** @type {() => number} */ next, size = 1) =>
  Float32Array.from({ length: n }, () => size * normal(next));

export const flat = (/** @type {Float32Array[]} */ rows) => rows.flatMap((row) => Array.from(row));

/**
 * The bytes of a matrix whose rows are those of a smaller one, over and over.
 * @param {Uint8Array} bytes @param {MatrixLayout} from @param {MatrixLayout} to
 */
export function repeatRows(bytes, from, to) {
  if (from.rows === to.rows) return bytes;
  const { bits, tiles, blocks } = from;
  const high = { 3: 32, 4: 64 }[Number(bits)] ?? 0;
  const sections = [[0, 0, (bits === 8 ? 256 : 64) * tiles * blocks]];
  if (bits >= 16) sections.splice(0, 1, [0, 0, from.sizeBytes]);
  else sections.push([from.groups, to.groups, (bits === 8 ? 16 : 12) * tiles * blocks]);
  if (high > 0) sections.push([from.high, to.high, high * tiles * blocks]);
  if (bits < 8) sections.push([from.rowScales, to.rowScales, 16 * blocks]);
  const whole = new Uint8Array(to.sizeBytes);
  for (const [source = 0, target = 0, size = 0] of sections) {
    const part = bytes.subarray(source, source + size);
    for (let k = 0; k < to.rows / from.rows; k++) whole.set(part, target + k * size);
  }
  return whole;
}

/** @param {MatrixLayout} layout @param {() => number} next */
export function chanceMatrix(layout, next) {
  const { bits, rows, columns } = layout;
  if (bits === 32) return new Uint8Array(padRows(layout, chance(rows * columns, next)).buffer);
  if (bits === 16) {
    const halves = Uint16Array.from(padRows(layout, chance(rows * columns, next)), toHalf);
    const bytes = new Uint8Array(layout.sizeBytes);
    bytes.set(new Uint8Array(halves.buffer));
    return bytes;
  }
  const whole = (/** @type {number} */ n, /** @type {number} */ below) =>
    Int16Array.from({ length: n }, () => Math.floor(below * next()));
  const groups = rows * Math.ceil(columns / 32);
  const q = whole(rows * columns, bits === 8 ? 255 : 2 ** bits);
  if (bits === 8) {
    const scales = Float32Array.from({ length: groups }, () => 0.001 + 0.01 * next());
    return packMatrix(layout, { q: q.map((code) => code - 127), scales });
  }
  const [rowScales, rowMinima] = [0.001, -0.002].map((size) =>
    Float32Array.from({ length: rows }, () => size * (0.5 + next())),
  );
  return packMatrix(layout, {
    q,
    scales: whole(groups, 64),
    minima: whole(groups, 64),
    rowScales,
    rowMinima,
  });
}

/** @param {MatrixLayout} layout @param {Float32Array} values */
export function padRows({ rows, columns, paddedColumns, sizeBytes, bits }, values) {
  const padded = new Float32Array((sizeBytes * 8) / bits);
  for (let row = 0; row < rows; row++) {
    padded.set(values.subarray(row * columns, (row + 1) * columns), row * paddedColumns);
  }
  return padded;
}
