/**
 * The case table: each row is an operation at one size, with odd ones among them. `checkCase` computes it on a backend
 * and by its twin.
 */
import { attention, CACHES, checkAttention } from './attention_cases.js';
import { chance, chanceMatrix, fillRows, flat, padRows, repeatRows, step } from './chance_rows.js';
import { checkChoice, checkNoChoice } from './choice_cases.js';
import { layoutMatrix } from './layout.js';
import { time, U } from './outcomes.js';
import { uniform } from './random.js';
import { multiply } from './twins/matrices.js';
import { norm, rope, ropeTable, silu } from './twins/operations.js';

/** @typedef {import('../engines/low_bits/backend.js').Backend} Backend */
/** @typedef {import('../engines/low_bits/backend.js').Rows} Rows */
/** @typedef {{name: string, kernel: 'matmul', bits: number, rows: number, columns: number, tokens: number}} MatmulCase */
/** @typedef {{name: string, kernel: 'norm' | 'silu', columns: number, tokens: number}} RowsCase */
/** @typedef {{name: string, kernel: 'rope', heads: number, headDim: number, pairs: number, tokens: number}} RopeCase */
/** @typedef {import('./attention_cases.js').AttentionCase} AttentionCase */
/** @typedef {import('./choice_cases.js').ChoiceCase} ChoiceCase */
/** @typedef {MatmulCase | RowsCase | RopeCase | AttentionCase | ChoiceCase} Case */
/** @typedef {import('./outcomes.js').Outcome} Outcome */
/** @typedef {import('./outcomes.js').Timer} Timer */

// Operations of a run: parameters of that many dispatches are kept.
const DISTINCT_ROWS = 64;

/** @param {number} bits @param {number} rows @param {number} columns @param {number} tokens @returns {MatmulCase} */
const matmul = (bits, rows, columns, tokens) => ({
  name: `matmul ${bits} bits ${rows}x${columns}, ${tokens} token${tokens > 1 ? 's' : ''}`,
  kernel: 'matmul',
  bits,
  rows,
  columns,
  tokens,
});

const BITS = [2, 3, 4, 8, 16, 32];

/** @type {Case[]} */
export const CASES = [
  ...BITS.map((bits) => matmul(bits, 7, 33, 1)),
  ...BITS.map((bits) => matmul(bits, 7, 33, 5)),
  ...BITS.map((bits) => matmul(bits, 9, 100, 1)),
  ...BITS.map((bits) => matmul(bits, 5, 4099, 1)),
  ...BITS.map((bits) => matmul(bits, 13, 4099, 6)),
  ...BITS.map((bits) => matmul(bits, 192, 576, 1)),
  ...BITS.map((bits) => matmul(bits, 192, 576, 32)),
  ...CACHES.map((kv) => attention(kv, 301, [6, 2, 64])),
  attention([3, 2], 1, [3, 3, 32]),
  attention([2, 2], 65, [4, 1, 96], 0),
  attention([4, 3], 257, [2, 1, 128], 128),
  { name: 'norm 33 columns, 3 tokens', kernel: 'norm', columns: 33, tokens: 3 },
  { name: 'norm 576 columns, 32 tokens', kernel: 'norm', columns: 576, tokens: 32 },
  { name: 'silu 1537 columns, 3 tokens', kernel: 'silu', columns: 1537, tokens: 3 },
  { name: 'rope 3 heads of 64, 5 tokens', kernel: 'rope', heads: 3, headDim: 64, pairs: 32, tokens: 5 },
  { name: 'rope of a part of the head', kernel: 'rope', heads: 2, headDim: 36, pairs: 9, tokens: 3 },
];

/** What kernels are chosen by, and too large for every run: a token, and a piece of a prompt. */
export const LARGE = matmul(2, 4096, 2048, 1);

export const PREFILL = matmul(2, 1024, 1024, 32);

/** What is only timed: a token, a piece of a prompt, and that piece's tokens one by one at every number of bits. */
export const TIMED = [
  ...BITS.map((bits) => matmul(bits, 4096, 2048, 1)),
  ...BITS.flatMap((bits) => [matmul(bits, 1024, 1024, 32), matmul(bits, 1024, 1024, 1)]),
];

/**
 * A case on a backend beside its twin.
 * @param {Backend} backend a fresh one: nothing it holds is freed
 * @param {Case} row
 * @param {number} [repeats] timed runs, of which the quickest counts
 * @param {number} [sampleMs] how long a run is, at least: the operation again and again
 * @param {boolean} [withTwin] false: a product is only timed
 * @returns {Promise<Outcome>}
 */
export async function checkCase(backend, row, repeats = 1, withTwin = true, sampleMs = 0) {
  const timer = { repeats, sampleMs };
  switch (row.kernel) {
    case 'matmul':
      return checkMatmul(backend, row, timer, withTwin);
    case 'attention':
      return checkAttention(backend, row, timer);
    case 'rope':
      return checkRope(backend, row, timer);
    case 'choice':
      return checkChoice(backend, row, timer);
    case 'no choice':
      return checkNoChoice(backend, row, timer);
    default:
      return checkRows(backend, row, timer);
  }
}

/**
 * @param {Backend} backend @param {MatmulCase} row @param {Timer} timer @param {boolean} withTwin
 * @returns {Promise<Outcome>}
 */
async function checkMatmul(backend, { bits, rows, columns, tokens }, timer, withTwin) {
  const layout = layoutMatrix([rows, columns], bits);
  // A large matrix is the same rows again and again: so are its outputs, each of which is checked.
  const own = rows > DISTINCT_ROWS && rows % DISTINCT_ROWS === 0 ? DISTINCT_ROWS : rows;
  const part = layoutMatrix([own, columns], bits);
  const some = chanceMatrix(part, uniform(bits + rows));
  const bytes = repeatRows(some, part, layout);
  const matrix = backend.matrix(layout);
  backend.write(matrix, 0, bytes);
  const x = backend.rows(tokens, columns);
  const out = backend.rows(tokens, rows);
  backend.begin(step(tokens));
  const padded = fillRows(backend, x, chance(tokens * columns, uniform(columns)), tokens);
  await backend.read(x, 1);
  const took = await time(
    timer,
    () => {
      backend.begin(step(tokens));
      if (bits < 16) backend.quantize(x, tokens);
      backend.matmul(matrix, x, out, tokens);
    },
    () => backend.read(out, 1),
  );
  if (!withTwin) return { got: [], wanted: [], tolerances: [], ...took, bytes: bytes.length };
  const { y, sizes } = multiply(some, part, padded, tokens);
  // Each group's product is rounded four times; 16 and 32 bits sum single columns.
  const terms = bits < 16 ? columns / 32 + 8 : columns + 2;
  const repeat = (/** @type {Float64Array} */ outputs) =>
    Float64Array.from(
      { length: tokens * rows },
      (_, at) => outputs[Math.floor(at / rows) * own + ((at % rows) % own)] ?? Number.NaN,
    );
  const tolerances = repeat(sizes.map((size) => terms * U * size + 1e-30));
  return {
    got: flat(await backend.read(out, tokens)),
    wanted: repeat(y),
    tolerances,
    ...took,
    bytes: bytes.length,
  };
}

/** @param {Backend} backend @param {RowsCase} row @param {Timer} timer @returns {Promise<Outcome>} */
async function checkRows(backend, { kernel, columns, tokens }, timer) {
  const next = uniform(columns);
  const [a, b] = [chance(tokens * columns, next, 3), chance(columns * tokens, next)];
  const [x, y] = [backend.rows(tokens, columns), backend.rows(tokens, columns)];
  const layout = layoutMatrix([columns], 32);
  const weight = backend.matrix(layout);
  backend.write(weight, 0, new Uint8Array(padRows(layout, b.slice(0, columns)).buffer));
  const compute = () => {
    backend.begin(step(tokens));
    fillRows(backend, x, a, tokens);
    fillRows(backend, y, b, tokens);
    if (kernel === 'norm') backend.norm(x, weight, y, 1e-5);
    else backend.silu(x, y);
  };
  const out = kernel === 'norm' ? y : x;
  const took = await time(timer, compute, () => backend.read(out, 1));
  const wanted = kernel === 'norm' ? norm(a, b.slice(0, columns), 1e-5) : silu(a, b);
  // norm: half the sum's error, by its root, and four roundings; silu: the exponential's 2 and four, and the loss of
  // an argument of at most 20 in n ln 2.
  const units = kernel === 'norm' ? columns / 2 + 6 : 32;
  return {
    got: flat(await backend.read(out, tokens)),
    wanted,
    tolerances: wanted.map((w) => units * U * Math.abs(w) + 1e-30),
    ...took,
    bytes: 8 * tokens * columns,
  };
}

/** @param {Backend} backend @param {RopeCase} row @param {Timer} timer @returns {Promise<Outcome>} */
async function checkRope(backend, { heads, headDim, pairs, tokens }, timer) {
  const columns = heads * headDim;
  const values = chance(tokens * columns, uniform(columns));
  const frequencies = Array.from({ length: pairs }, (_, i) => 10000 ** (-i / pairs));
  const table = ropeTable(frequencies, 1, 3 + tokens);
  backend.ropeTable(table, pairs);
  const x = backend.rows(tokens, columns);
  const compute = () => {
    backend.begin(step(tokens, 3).map((row, index) => ({ ...row, token: index })));
    fillRows(backend, x, values, tokens);
    backend.rope(x, heads, headDim);
  };
  const took = await time(timer, compute, () => backend.read(x, 1));
  const wanted = Array.from({ length: tokens }, (_, token) => {
    const own = values.subarray(token * columns, (token + 1) * columns);
    return Array.from(rope(own, headDim, table.subarray((token + 3) * 2 * pairs, (token + 4) * 2 * pairs)));
  }).flat();
  // Two products and a sum of numbers below 8.
  return {
    got: flat(await backend.read(x, tokens)),
    wanted,
    tolerances: wanted.map(() => 3 * U * 8),
    ...took,
    bytes: 8 * tokens * columns,
  };
}
