/**
 * Logits to probabilities and labels.
 */

/**
 * Probabilities; the largest logit is subtracted first, so nothing overflows.
 * @param {Float32Array} logits
 * @returns {number[]}
 */
export function softmax(logits) {
  const highest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const powers = Array.from(logits, (logit) => Math.exp(logit - highest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/**
 * The `count` likeliest labels, likeliest first; of equals the one of lower index.
 * @param {number[]} scores
 * @param {number} count
 * @param {Record<string, string>} names by index
 * @returns {{label: string, score: number}[]}
 */
export function rankLabels(scores, count, names) {
  const ranked = scores.map((score, index) => ({ label: names[index] ?? String(index), score }));
  return ranked.sort((one, other) => other.score - one.score).slice(0, count);
}
