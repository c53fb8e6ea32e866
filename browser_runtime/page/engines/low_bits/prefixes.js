/**
 * Which part of a prompt is in a cache already, and from which place it can go on. Pure.
 *
 * What a cache holds after n tokens depends on n (kernels/README.md): a block that is packed cannot be unpacked. So a
 * prefix is taken over only where the cache is as it would be had the prompt been computed anew; the tokens are the
 * same either way.
 */
import { packedTokens } from '../../kernels/layout.js';

/** @typedef {{slot: number, tokens: readonly number[]}} Held what a slot's cache was computed from */
/** @typedef {{slot: number, length: number, common: number}} Reuse `common`: the longest prefix that any slot shares */

/** @param {readonly number[]} a @param {readonly number[]} b */
export function commonLength(a, b) {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length++;
  return length;
}

/**
 * The tokens of a cache of `held` that a prompt can keep which shares `common` of them.
 * @param {number} common @param {number} held @param {{keys: {bits: number}, values: {bits: number}, window: number}} shape
 */
export function usableLength(common, held, { keys, values, window }) {
  if (keys.bits === 16 && values.bits === 16) return common;
  return packedTokens(common, window) === packedTokens(held, window) ? common : 0;
}

/**
 * The slot to go on from; length 0 where there is none. The last token of a prompt is always computed: its logits are
 * wanted.
 * @param {readonly number[]} prompt @param {Held[]} candidates
 * @param {{keys: {bits: number}, values: {bits: number}, window: number}} shape
 * @returns {Reuse}
 */
export function findPrefix(prompt, candidates, shape) {
  const own = prompt.slice(0, -1);
  let best = { slot: -1, length: 0, common: 0 };
  for (const { slot, tokens } of candidates) {
    const shared = commonLength(tokens, own);
    const length = usableLength(shared, tokens.length, shape);
    const common = Math.max(best.common, shared);
    best = length > best.length ? { slot, length, common } : { ...best, common };
  }
  return best;
}
