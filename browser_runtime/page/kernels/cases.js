/**
 * The case table: each row is an operation at one size, with odd ones among them. `checkCase` computes it on a backend
 * and by its twin, says how far apart they are and how far they may be, and how long it took.
 *
 * Where a tolerance comes from: u = 2^-24 is float32's unit roundoff, and a sum of n terms in any order differs from
 * the true one by at most (n + 1) u times the sum of the terms' sizes; each product adds one u.
 */
import { layoutCache } from '../engines/low_bits/cache.js';
import { EQUAL_LOGITS, ODD_LOGIT } from '../engines/low_bits/generation.js';
import { findFlaw, Sampler } from '../engines/low_bits/sampler.js';
import { BLOCK_TOKENS, layoutMatrix, packedTokens } from './layout.js';
import { normal, uniform } from './random.js';
import { attend, packBlock, readBlock } from './twins/caches.js';
import { fromHalf, toHalf } from './twins/halves.js';
import { multiply, packMatrix } from './twins/matrices.js';
import { norm, rope, ropeTable, silu } from './twins/operations.js';

/** @typedef {import('../engines/low_bits/backend.js').Backend} Backend */
/** @typedef {import('../engines/low_bits/backend.js').Rows} Rows */
/** @typedef {import('./layout.js').MatrixLayout} MatrixLayout */
/** @typedef {{name: string, kernel: 'matmul', bits: number, rows: number, columns: number, tokens: number}} MatmulCase */
/** @typedef {{name: string, kernel: 'norm' | 'silu', columns: number, tokens: number}} RowsCase */
/** @typedef {{name: string, kernel: 'rope', heads: number, headDim: number, pairs: number, tokens: number}} RopeCase */
/** @typedef {{name: string, kernel: 'attention', kv: [number, number], tokens: number, heads: number, kvHeads: number, headDim: number, window?: number}} AttentionCase */
/** @typedef {{name: string, kernel: 'choice' | 'no choice', vocab: number}} ChoiceCase */
/** @typedef {MatmulCase | RowsCase | RopeCase | AttentionCase | ChoiceCase} Case */
/** @typedef {{got: ArrayLike<number>, wanted: ArrayLike<number>, tolerances: ArrayLike<number>, ms: number, samples: number[], bytes: number}} Outcome */

export const U = 2 ** -24;
// Operations of a run: parameters of that many dispatches are kept.
const DISTINCT_ROWS = 64;
const MAX_OPERATIONS = 4096;

/** @param {number} bits @param {number} rows @param {number} columns @param {number} tokens @returns {MatmulCase} */
const matmul = (bits, rows, columns, tokens) => ({
  name: `matmul ${bits} bits ${rows}x${columns}, ${tokens} token${tokens > 1 ? 's' : ''}`,
  kernel: 'matmul',
  bits,
  rows,
  columns,
  tokens,
});

/**
 * @param {[number, number]} kv @param {number} tokens @param {[number, number, number]} heads heads, kvHeads, headDim
 * @param {number} [window]
 * @returns {AttentionCase}
 */
const attention = (kv, tokens, [heads, kvHeads, headDim], window) => ({
  name: `attention k${kv[0]}v${kv[1]}, ${tokens} tokens, ${heads}/${kvHeads} heads of ${headDim}`,
  kernel: 'attention',
  kv,
  tokens,
  heads,
  kvHeads,
  headDim,
  ...(window === undefined ? {} : { window }),
});

const BITS = [2, 3, 4, 8, 16, 32];
const CACHES = /** @type {[number, number][]} */ ([
  [2, 2],
  [3, 2],
  [3, 3],
  [4, 4],
  [8, 8],
  [16, 16],
  [16, 4],
  [4, 16],
]);

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

/** @param {'choice' | 'no choice'} kernel @param {number} vocab @returns {Case} */
const choiceAmong = (kernel, vocab) => ({ name: `${kernel} among ${vocab} tokens`, kernel, vocab });

/** What only a backend has that chooses tokens by itself. */
export const CHOICES = [
  ...[33, 4099, 49152].map((vocab) => choiceAmong('choice', vocab)),
  ...[33, 4099].map((vocab) => choiceAmong('no choice', vocab)),
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

/** The largest error in units of what is allowed: at most 1 where the case is right, NaN where a number is none. @param {Outcome} outcome */
export const worst = ({ got, wanted, tolerances }) =>
  Array.from(wanted).reduce((most, value, index) => {
    const share = Math.abs((got[index] ?? Number.NaN) - value) / (tolerances[index] ?? 0);
    return Math.max(share, most);
  }, 0);

/** @typedef {{repeats: number, sampleMs: number}} Timer */

/**
 * How long an operation takes: some runs, each waited for, and the quickest. A run is as many operations as fill
 * `sampleMs`, waited for once.
 * @param {Timer} timer @param {() => void} compute @param {() => Promise<unknown>} finish
 */
export async function time({ repeats, sampleMs }, compute, finish) {
  const run = async (/** @type {number} */ n) => {
    const started = performance.now();
    for (let i = 0; i < n; i++) compute();
    await finish();
    return (performance.now() - started) / n;
  };
  let n = 1;
  for (; sampleMs > 0 && n < MAX_OPERATIONS; n *= 4) {
    // Of two: a browser may notice late that a GPU is done, and then one would do for a run.
    const ms = n * Math.min(await run(n), await run(n));
    if (ms * 2 > sampleMs) break;
  }
  const samples = [];
  for (let k = 0; k < repeats; k++) samples.push(await run(n));
  return { ms: Math.min(...samples), samples };
}

/** Rows of chance on the backend: written as a float32 matrix of its own and embedded. */
function fillRows(
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

const step = (/** @type {number} */ n, position = 0) =>
  Array.from({ length: n }, (_, index) => ({ slot: 0, position: position + index, token: index }));
export const chance = (/** @type {number} */ n, /** @type {() => number} */ next, size = 1) =>
  Float32Array.from({ length: n }, () => size * normal(next));
const flat = (/** @type {Float32Array[]} */ rows) => rows.flatMap((row) => Array.from(row));

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

/**
 * The bytes of a matrix whose rows are those of a smaller one, over and over.
 * @param {Uint8Array} bytes @param {MatrixLayout} from @param {MatrixLayout} to
 */
function repeatRows(bytes, from, to) {
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
function padRows({ rows, columns, paddedColumns, sizeBytes, bits }, values) {
  const padded = new Float32Array((sizeBytes * 8) / bits);
  for (let row = 0; row < rows; row++) {
    padded.set(values.subarray(row * columns, (row + 1) * columns), row * paddedColumns);
  }
  return padded;
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

// Each alone, all together, and what leaves next to nothing.
const SAMPLINGS = [
  {},
  { repetition_penalty: 3 },
  { temperature: 1 },
  { temperature: 2, top_k: 7 },
  { temperature: 0.7, top_p: 0.6 },
  { temperature: 1.5, top_k: 20, top_p: 0.9, repetition_penalty: 1.3 },
  { temperature: 0.01, top_p: 0.999 },
  { temperature: 5, top_k: 1 },
  { temperature: 1, top_p: 0 },
];

/** @param {Backend} backend @param {ChoiceCase} row @param {Timer} timer */
const checkChoice = (backend, { vocab }, timer) => {
  const next = uniform(vocab);
  const seen = Array.from({ length: Math.min(vocab, 1000) }, (_, index) => (7 * index) % vocab);
  const rows = SAMPLINGS.map((sampling) => ({ sampling, logits: chance(vocab, next, 3) }));
  return compareChoices(backend, rows, seen, timer);
};

/** Logits of which none, some or all are such that no token follows. @param {number} vocab */
function flawedLogits(vocab) {
  const usual = chance(vocab, uniform(vocab), 3);
  const last = vocab - 1;
  return [
    usual,
    usual.with(last, Number.NaN),
    usual.with(0, Number.NaN),
    usual.with(last, Number.POSITIVE_INFINITY),
    usual.with(0, Number.NEGATIVE_INFINITY),
    usual.map(() => 1.5),
    usual.map(() => 0).with(last, 1e-30),
    usual.map(() => Number.NEGATIVE_INFINITY),
    usual.map(() => Number.NaN),
  ];
}

/** @param {Backend} backend @param {ChoiceCase} row @param {Timer} timer */
const checkNoChoice = (backend, { vocab }, timer) => {
  const rows = flawedLogits(vocab).map((logits, at) => ({
    sampling: { temperature: at % 2, repetition_penalty: 1.1 },
    logits,
  }));
  return compareChoices(backend, rows, [0, 1], timer);
};

/**
 * @param {Backend} backend
 * @param {{sampling: import('../engines/low_bits/sampler.js').Sampling, logits: Float32Array}[]} rows
 * @param {number[]} seen tokens that were there before
 * @param {Timer} timer
 * @returns {Promise<Outcome>}
 */
async function compareChoices(backend, rows, seen, timer) {
  const n = rows.length;
  const vocab = rows[0]?.logits.length ?? 0;
  const logits = backend.rows(n, vocab);
  const values = Float32Array.from(flat(rows.map((row) => row.logits)));
  const samplers = () => rows.map(({ sampling }, seed) => new Sampler({ ...sampling, seed }, seen));
  const compute = () => {
    backend.begin(step(n));
    fillRows(backend, logits, values, n);
    backend.prepareChoice?.(
      logits,
      samplers().map((sampler) => sampler.lookAhead(1)),
    );
    backend.choose?.(logits, 0);
  };
  const took = await time(timer, compute, async () => backend.chosen?.(1));
  compute();
  const choose = (/** @type {Sampler} */ sampler, /** @type {number} */ at) => {
    const row = values.slice(at * vocab, (at + 1) * vocab);
    const flaw = findFlaw(row);
    if (flaw) return flaw.startsWith('all') ? EQUAL_LOGITS : ODD_LOGIT;
    return sampler.sample(row);
  };
  return {
    got: (await backend.chosen?.(1)) ?? [],
    wanted: samplers().map(choose),
    // The same token or another one.
    tolerances: rows.map(() => 0.5),
    ...took,
    bytes: 4 * n * vocab,
  };
}

/** @param {Backend} backend @param {AttentionCase} row @param {Timer} timer @returns {Promise<Outcome>} */
async function checkAttention(backend, { kv, tokens, heads, kvHeads, headDim, window }, timer) {
  const shape = layoutCache(
    { heads, kv_heads: kvHeads, head_dim: headDim, layers: 1 },
    { bits: kv, window, context: 320, slots: 2 },
  );
  backend.cache(shape);
  const width = kvHeads * headDim;
  const next = uniform(tokens + headDim);
  const [k, v, q] = [
    chance(tokens * width, next),
    chance(tokens * width, next),
    chance(heads * headDim, next),
  ];
  const queries = backend.rows(BLOCK_TOKENS, heads * headDim);
  const [keys, values] = [backend.rows(BLOCK_TOKENS, width), backend.rows(BLOCK_TOKENS, width)];
  const out = backend.rows(BLOCK_TOKENS, heads * headDim);
  const feed = (/** @type {number} */ first, /** @type {number} */ n) => {
    const rows = step(n, first).map((row) => ({ ...row, slot: 1 }));
    backend.begin(rows);
    fillRows(backend, keys, k.subarray(first * width, (first + n) * width), n);
    fillRows(backend, values, v.subarray(first * width, (first + n) * width), n);
    fillRows(
      backend,
      queries,
      Float32Array.from({ length: n * q.length }, (_, i) => q[i % q.length] ?? 0),
      n,
    );
    backend.append(0, keys, values);
    backend.attend(0, queries, out);
  };
  for (let first = 0; first < tokens - 1; first += BLOCK_TOKENS) {
    feed(first, Math.min(BLOCK_TOKENS, tokens - 1 - first));
    await backend.read(out, 1);
  }
  const took = await time(
    timer,
    () => feed(tokens - 1, 1),
    () => backend.read(out, 1),
  );
  const packed = packedTokens(tokens - 1, shape.window);
  const cachedKeys = cachedSide(
    k,
    width,
    kvHeads,
    headDim,
    shape.keys.bits < 16 ? packed : 0,
    shape.keys.block,
    true,
  );
  const cachedValues = cachedSide(
    v,
    width,
    kvHeads,
    headDim,
    shape.values.bits < 16 ? packed : 0,
    shape.values.block,
    false,
  );
  const wanted = Array.from({ length: heads }, (_, head) => {
    const own = Math.floor((head * kvHeads) / heads);
    const [key, value] = [cachedKeys(own), cachedValues(own)];
    return Array.from(attend(q.subarray(head * headDim, (head + 1) * headDim), key, value, tokens));
  }).flat();
  // Numbers by chance stay below 6, so a score is a sum of head_dim products below 36, three roundings each (s, m, the
  // product), divided by sqrt(head_dim). It shifts an output by at most twice its error times 6; the output itself sums
  // `tokens` shares, of 1 together, times 6, with the exponential's 4 units.
  const score = ((headDim + 3) * U * 36 * headDim) / Math.sqrt(headDim);
  const tolerance = 2 * score * 6 + (tokens + 8) * U * 6;
  return {
    got: flat(await backend.read(out, 1)),
    wanted,
    tolerances: wanted.map(() => tolerance),
    ...took,
    bytes: (shape.slotBytes * tokens) / 320,
  };
}

/** What the cache stands for: fp16, and packed in blocks before `packed`. */
function cachedSide(
  /** @type {Float32Array} */ x,
  /** @type {number} */ width,
  /** @type {number} */ kvHeads,
  /** @type {number} */ headDim,
  /** @type {number} */ packed,
  /** @type {import('./layout.js').BlockLayout} */ layout,
  /** @type {boolean} */ isKeys,
) {
  const exact = Float64Array.from(x, (value) => fromHalf(toHalf(value)));
  const blocks = Array.from({ length: kvHeads }, (_, head) =>
    Array.from({ length: packed / BLOCK_TOKENS }, (_, block) => {
      const at = (/** @type {number} */ token, /** @type {number} */ d) =>
        exact[(block * BLOCK_TOKENS + token) * width + head * headDim + d] ?? 0;
      return readBlock(
        packBlock(layout, (row, column) => (isKeys ? at(row, column) : at(column, row))),
        layout,
      );
    }),
  );
  return (/** @type {number} */ head) => (/** @type {number} */ token, /** @type {number} */ d) => {
    const block = blocks[head]?.[Math.floor(token / BLOCK_TOKENS)];
    if (!block) return exact[token * width + head * headDim + d] ?? 0;
    const t = token % BLOCK_TOKENS;
    return block[isKeys ? t * headDim + d : d * BLOCK_TOKENS + t] ?? 0;
  };
}
