/** The shape of the cache of keys and values: bits, places, bytes. Pure. */
import { Fault } from '../../faults.js';
import { BLOCK_TOKENS, defaultWindow, layoutBlock, packedTokens, roundUp } from '../../kernels/layout.js';

/** @typedef {import('./backend.js').CacheShape} CacheShape */
/** @typedef {import('./backend.js').CacheSide} CacheSide */
/** @typedef {{bits: [number, number], window?: number | undefined, context: number, slots: number}} CacheOptions */

/**
 * `16`, `"16"` or `"k3v2"` as bits of keys and of values. Raises BadInput.
 * @param {unknown} text
 * @returns {[number, number]}
 */
export function parseCacheBits(text) {
  const found = /^k(2|3|4|8|16)v(2|3|4|8|16)$/.exec(String(text)) ?? /^(2|3|4|8|16)$/.exec(String(text));
  if (!found)
    throw new Fault('BadInput', 'kv_cache', text, '2, 3, 4, 8, 16, or keys and values apart as in k3v2');
  return [Number(found[1]), Number(found[2] ?? found[1])];
}

/**
 * @param {{layers: number, heads: number, kv_heads: number, head_dim: number}} architecture
 * @param {CacheOptions} options
 * @returns {CacheShape}
 */
export function layoutCache(architecture, { bits, window = defaultWindow(bits[0]), context, slots }) {
  if (window % BLOCK_TOKENS !== 0 || window < 0) {
    throw new Fault('BadInput', 'window', window, `a multiple of ${BLOCK_TOKENS}`);
  }
  const headDim = architecture.head_dim;
  const side = (/** @type {'keys' | 'values'} */ name) => {
    return layoutSide(name, bits[name === 'keys' ? 0 : 1], headDim, window, context);
  };
  const [keys, values] = [side('keys'), side('values')];
  const { layers, heads, kv_heads: kvHeads } = architecture;
  const slotBytes = layers * kvHeads * (keys.headBytes + values.headBytes);
  return { keys, values, window, context, layers, heads, kvHeads, headDim, slots, slotBytes };
}

/**
 * @param {'keys' | 'values'} name @param {number} bits @param {number} headDim @param {number} window
 * @param {number} context
 * @returns {CacheSide}
 */
function layoutSide(name, bits, headDim, window, context) {
  const block = layoutBlock(name, bits, headDim);
  const whole = roundUp(context, BLOCK_TOKENS);
  const places = bits === 16 ? whole : Math.min(window + BLOCK_TOKENS, whole);
  const blocks = bits === 16 ? 0 : Math.max(0, (whole - window) / BLOCK_TOKENS);
  const ringBytes = 2 * headDim * places;
  const headBytes = roundUp(ringBytes + blocks * block.sizeBytes, 64);
  return { bits, places, blocks, block, headBytes, ringBytes };
}

/**
 * The true bytes that `tokens` take in one slot while the last of them is computed, scales and the ring of exact tokens
 * counted: what is in use, not what is reserved.
 * @param {CacheShape} shape
 * @param {number} tokens
 */
export function usedBytes(shape, tokens) {
  const packed = packedTokens(Math.max(0, tokens - 1), shape.window) / BLOCK_TOKENS;
  const side = (/** @type {CacheSide} */ { bits, block }) => {
    if (bits === 16) return 2 * shape.headDim * tokens;
    return packed * block.sizeBytes + 2 * shape.headDim * Math.min(tokens, shape.window + BLOCK_TOKENS);
  };
  return shape.layers * shape.kvHeads * (side(shape.keys) + side(shape.values));
}
