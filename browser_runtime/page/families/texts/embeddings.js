/** From the vectors of a text's tokens to its embedding. */
import { checkFinite } from '../graphs/floats.js';
import { applyModules, cutVector } from './sentence_modules.js';

/** @typedef {{embedding: Float32Array, tokens: number, truncated: boolean}} Output */

/**
 * The embedding of one text. Raises BadOutput where it is not finite.
 * @param {import('./sentence_modules.js').Module[]} modules
 * @param {import('./pooling.js').Hidden} hidden
 * @param {import('./tokens.js').Tokens} tokens
 * @param {Record<string, unknown>} options `dimensions`, `normalize`
 * @returns {Output}
 */
export function makeEmbedding(modules, hidden, tokens, options) {
  const embedding = cutVector(applyModules(modules, hidden, 0, tokens), options);
  checkFinite(embedding, 'embedding value');
  return { embedding, tokens: tokens.ids.length, truncated: tokens.truncated };
}
