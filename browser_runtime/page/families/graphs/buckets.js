/**
 * Static shapes: WebNN compiles a graph for one shape, so a batch is padded up to the next bucket.
 */

// Powers of two: padding costs at most half of the work, and six graphs cover every length.
const SEQUENCE_LENGTHS = [16, 32, 64, 128, 256, 512];
export const BATCH_SIZES = [1, 2, 4, 8];

/**
 * The sequence buckets of a model that takes at most `maxTokens`; the last one is `maxTokens` itself.
 * @param {number} maxTokens
 * @returns {number[]}
 */
export function sequenceBuckets(maxTokens) {
  return [...SEQUENCE_LENGTHS.filter((length) => length < maxTokens), maxTokens];
}

/**
 * The smallest of the ascending `sizes` that holds `count`. Raises RangeError when none does: callers cut first.
 * @param {number} count
 * @param {readonly number[]} sizes
 * @returns {number}
 */
export function pickBucket(count, sizes) {
  const size = sizes.find((candidate) => candidate >= count);
  if (size === undefined) throw new RangeError(`${count} is beyond the largest bucket, ${sizes.at(-1)}`);
  return size;
}

/**
 * `entries` in their order, cut into groups of at most `size`.
 * @template T
 * @param {readonly T[]} entries
 * @param {number} size
 * @returns {T[][]}
 */
export function splitBatches(entries, size) {
  const count = Math.ceil(entries.length / size);
  return Array.from({ length: count }, (_, index) => entries.slice(index * size, (index + 1) * size));
}
