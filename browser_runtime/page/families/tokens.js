/**
 * Texts to token ids, and token ids to the rectangles that a graph takes.
 */
import { Fault } from '../faults.js';

/** @typedef {{ids: number[], truncated: boolean}} Encoded */
/** @typedef {(text: string) => number[]} Encode token ids, special tokens included */

/**
 * The text's token ids, cut to `maxTokens` as Python's tokenizers cut: the content loses its end, the special
 * tokens around it stay. (transformers.js' own `truncation` cuts the closing token off.)
 * @param {Encode} encode
 * @param {unknown} text
 * @param {number} maxTokens
 * @param {string} field named when the text is none
 * @returns {Encoded}
 */
export function encodeText(encode, text, maxTokens, field) {
  if (typeof text !== 'string') throw new Fault('BadInput', field, `of type ${typeof text}`, 'a text');
  const ids = encode(text);
  if (ids.length <= maxTokens) return { ids, truncated: false };
  const closing = countClosing(encode(''), ids);
  const tail = closing > 0 ? ids.slice(-closing) : [];
  return { ids: [...ids.slice(0, maxTokens - closing), ...tail], truncated: true };
}

/**
 * How many of the special tokens close a text: `empty` is their whole sequence, opening ones first.
 * @param {number[]} empty
 * @param {number[]} ids
 */
function countClosing(empty, ids) {
  const isSplit = (/** @type {number} */ opening) =>
    empty.every((id, at) => id === (at < opening ? ids[at] : ids.at(at - empty.length)));
  const opening = empty.findIndex((_, at) => isSplit(at));
  return opening < 0 ? 0 : empty.length - opening;
}

/**
 * Ids and mask as `[rows, columns]`, padded on the right. A row beyond the texts attends to its first token: a row
 * that attends to nothing would make NaN of the softmax.
 * @param {Encoded[]} texts
 * @param {number} rows
 * @param {number} columns
 * @param {number} padId
 * @returns {{ids: BigInt64Array, mask: BigInt64Array}}
 */
export function padTexts(texts, rows, columns, padId) {
  const ids = new BigInt64Array(rows * columns).fill(BigInt(padId));
  const mask = new BigInt64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const known = texts[row]?.ids ?? [];
    ids.set(known.map(BigInt), row * columns);
    mask.fill(1n, row * columns, row * columns + Math.max(known.length, 1));
  }
  return { ids, mask };
}
