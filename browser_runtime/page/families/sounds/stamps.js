/**
 * The next token where a transcript has time stamps: they come in pairs around a segment and never go back.
 * Source: transformers, WhisperTimeStampLogitsProcessor in generation/logits_process.py (Apache-2.0).
 */

/**
 * @typedef {object} Stamps
 * @property {number} begin the first stamp, of 0 seconds; all tokens from it on are stamps
 * @property {number} end the token that ends a transcript
 * @property {number | null} most_first the highest stamp that may be the first token, counted from 0; null: any
 */

/**
 * The tokens that may not come after `tokens`, as a test.
 * @param {number[]} tokens
 * @param {Stamps} stamps
 * @returns {(token: number) => boolean}
 */
function barUnordered(tokens, { begin, end, most_first: mostFirst }) {
  const isStamp = (/** @type {number | undefined} */ token) => token !== undefined && token >= begin;
  if (tokens.length === 0) {
    const most = mostFirst === null ? Number.POSITIVE_INFINITY : begin + mostFirst;
    return (token) => token < begin || token > most;
  }
  const isAfterStamp = isStamp(tokens.at(-1));
  // A stamp at the very beginning counts as the second of a pair: text follows it.
  const isPair = isAfterStamp && (tokens.length < 2 || isStamp(tokens.at(-2)));
  const last = tokens.findLast(isStamp);
  // A segment may begin where the one before ends, but has some length.
  const least = last === undefined ? begin : last + Number(!isAfterStamp || isPair);
  return (token) => {
    if (token >= begin) return isPair || token < least;
    return isAfterStamp && !isPair && token < end;
  };
}

/**
 * The likeliest token; a stamp where all stamps together are likelier than any text. -1 where every token is barred.
 * @param {Float32Array} logits
 * @param {Set<number>} suppressed
 * @param {number[]} tokens those so far, without the prompt
 * @param {Stamps} stamps
 */
export function chooseStamped(logits, suppressed, tokens, stamps) {
  const isBarred = barUnordered(tokens, stamps);
  const best = { text: -1, stamp: -1 };
  const at = (/** @type {number} */ token) => logits[token] ?? Number.NEGATIVE_INFINITY;
  for (let token = 0; token < logits.length; token++) {
    // The token before the first stamp says that there are none.
    if (suppressed.has(token) || token === stamps.begin - 1 || isBarred(token)) continue;
    const kind = token < stamps.begin ? 'text' : 'stamp';
    if (best[kind] < 0 || at(token) > at(best[kind])) best[kind] = token;
  }
  if (best.text < 0 || best.stamp < 0) return Math.max(best.text, best.stamp);
  let sum = 0;
  for (let token = stamps.begin; token < logits.length; token++) {
    if (!suppressed.has(token) && !isBarred(token)) sum += Math.exp(at(token) - at(best.stamp));
  }
  return at(best.stamp) + Math.log(sum) > at(best.text) ? best.stamp : best.text;
}
