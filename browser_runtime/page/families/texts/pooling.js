/**
 * One vector a text from the vectors of its tokens, as sentence-transformers pools. Sums are taken in 64 bits.
 */

// sentence-transformers' own: what a division by the number of tokens is kept from.
const COUNT_EPSILON = 1e-9;

/** @typedef {{data: Float32Array, columns: number, width: number}} Hidden `data` is [rows, columns, width] */
/** @typedef {(hidden: Hidden, row: number, first: number, end: number) => Float64Array} Pool over tokens from `first` to before `end` */

/** @type {Record<string, Pool>} */
export const POOLS = {
  cls: (hidden, row, first, end) => takeToken(hidden, row, first < end ? first : 0),
  max: poolMax,
  mean: (hidden, row, first, end) => sumTokens(hidden, row, first, end, () => 1, count),
  mean_sqrt_len_tokens: (hidden, row, first, end) =>
    sumTokens(
      hidden,
      row,
      first,
      end,
      () => 1,
      (weights) => Math.sqrt(count(weights)),
    ),
  // Each token counts as much as its place in the text, from 1.
  weightedmean: (hidden, row, first, end) => sumTokens(hidden, row, first, end, (token) => token + 1, count),
  lasttoken: (hidden, row, first, end) =>
    takeToken(hidden, row, end - 1).map((value) => (first < end ? value : 0)),
};

/** @param {number} weights */
function count(weights) {
  return Math.max(weights, COUNT_EPSILON);
}

/**
 * @param {Hidden} hidden
 * @param {number} row
 * @param {number} first
 * @param {number} end
 * @param {(token: number) => number} weigh
 * @param {(weights: number) => number} divisor what the weighted sum is divided by, from the sum of weights
 */
function sumTokens({ data, columns, width }, row, first, end, weigh, divisor) {
  const sums = new Float64Array(width);
  let weights = 0;
  for (let token = first; token < end; token++) {
    const start = (row * columns + token) * width;
    const weight = weigh(token);
    weights += weight;
    for (let at = 0; at < width; at++) sums[at] = (sums[at] ?? 0) + weight * (data[start + at] ?? 0);
  }
  const by = divisor(weights);
  return sums.map((sum) => sum / by);
}

/** @type {Pool} */
function poolMax({ data, columns, width }, row, first, end) {
  const most = new Float64Array(width).fill(-Infinity);
  for (let token = first; token < end; token++) {
    const start = (row * columns + token) * width;
    for (let at = 0; at < width; at++) most[at] = Math.max(most[at] ?? 0, data[start + at] ?? 0);
  }
  return most;
}

/**
 * @param {Hidden} hidden
 * @param {number} row
 * @param {number} token
 */
function takeToken({ data, columns, width }, row, token) {
  const start = (row * columns + token) * width;
  return Float64Array.from(data.subarray(start, start + width));
}
