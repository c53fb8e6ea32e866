/** The cases of attention over a cache of few bits: keys and values packed, the newest exact. */
import { layoutCache } from '../engines/low_bits/cache.js';
import { chance, fillRows, flat, step } from './chance_rows.js';
import { BLOCK_TOKENS, packedTokens } from './layout.js';
import { time, U } from './outcomes.js';
import { uniform } from './random.js';
import { attend, packBlock, readBlock } from './twins/caches.js';
import { fromHalf, toHalf } from './twins/halves.js';

/** @typedef {import('../engines/low_bits/backend.js').Backend} Backend */
/** @typedef {{name: string, kernel: 'attention', kv: [number, number], tokens: number, heads: number, kvHeads: number, headDim: number, window?: number}} AttentionCase */
/** @typedef {import('./outcomes.js').Outcome} Outcome */
/** @typedef {import('./outcomes.js').Timer} Timer */

/**
 * @param {[number, number]} kv @param {number} tokens @param {[number, number, number]} heads heads, kvHeads, headDim
 * @param {number} [window]
 * @returns {AttentionCase}
 */
export const attention = (kv, tokens, [heads, kvHeads, headDim], window) => ({
  name: `attention k${kv[0]}v${kv[1]}, ${tokens} tokens, ${heads}/${kvHeads} heads of ${headDim}`,
  kernel: 'attention',
  kv,
  tokens,
  heads,
  kvHeads,
  headDim,
  ...(window === undefined ? {} : { window }),
});

export const CACHES = /** @type {[number, number][]} */ ([
  [2, 2],
  [3, 2],
  [3, 3],
  [4, 4],
  [8, 8],
  [16, 16],
  [16, 4],
  [4, 16],
]);

/** @param {Backend} backend @param {AttentionCase} row @param {Timer} timer @returns {Promise<Outcome>} */
export async function checkAttention(backend, { kv, tokens, heads, kvHeads, headDim, window }, timer) {
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
