/**
 * Texts as token ids, and the rectangles of them that a graph takes. Python's `tokenizers` made the ids, in the worker:
 * nothing here knows a vocabulary.
 */
import { Fault } from '../../faults.js';

/**
 * @typedef {object} Tokens
 * @property {Int32Array} ids special tokens included, cut to what the model takes
 * @property {Int32Array | null} segments which segment each token belongs to; null where all belong to the first
 * @property {boolean} truncated
 * @property {number} nPrompt the first tokens that take no part in pooling
 */
/** @typedef {{ids: Int32Array, mask: Int32Array, segments: Int32Array}} Rectangle each `[rows, columns]` */

/**
 * The item as the worker sent it. Raises BadInput when it holds no tokens.
 * @param {any} item
 * @param {string} field named when the item is none
 * @returns {Tokens}
 */
export function readTokens(item, field) {
  const ids = item?.ids?.data;
  if (!(ids instanceof Int32Array) || ids.length === 0) {
    throw new Fault('BadInput', field, 'without tokens', 'a text of at least one token');
  }
  const { truncated = false, n_prompt: nPrompt = 0 } = item;
  return { ids, segments: item.segments?.data ?? null, truncated, nPrompt };
}

/**
 * Ids, mask and segments, padded on the right. A row beyond the texts attends to its first token: a row that attends
 * to nothing would make NaN of the softmax.
 * @param {Tokens[]} texts
 * @param {number} rows
 * @param {number} columns
 * @param {number} padId
 * @returns {Rectangle}
 */
export function padTexts(texts, rows, columns, padId) {
  const ids = new Int32Array(rows * columns).fill(padId);
  const mask = new Int32Array(rows * columns);
  const segments = new Int32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    const text = texts[row];
    ids.set(text?.ids ?? [], start);
    segments.set(text?.segments ?? [], start);
    mask.fill(1, start, start + Math.max(text?.ids.length ?? 0, 1));
  }
  return { ids, mask, segments };
}

/**
 * The positions of tokens, `[rows, columns]`.
 * @param {number} rows
 * @param {number} columns
 * @param {number} first
 */
export function countPositions(rows, columns, first) {
  return Int32Array.from({ length: rows * columns }, (_, at) => first + (at % columns));
}
