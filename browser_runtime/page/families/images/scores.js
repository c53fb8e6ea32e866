/**
 * Logits to scores and labels, as transformers' image-classification pipeline makes them; which function makes them is
 * the worker's choice (`models/configuration/scores.py`).
 */

/** @typedef {'softmax' | 'sigmoid' | 'none' | 'default'} ScoreFunction */

/**
 * A score for each logit. `default`: a sigmoid for one logit alone, else softmax.
 * @param {Float32Array} logits
 * @param {ScoreFunction} name
 * @returns {number[]}
 */
export function scoreLogits(logits, name) {
  if (name === 'none') return Array.from(logits);
  const alone = name === 'default' && logits.length === 1;
  return name === 'sigmoid' || alone ? sigmoid(logits) : softmax(logits);
}

/**
 * Probabilities that are independent of each other.
 * @param {Float32Array} logits
 * @returns {number[]}
 */
export function sigmoid(logits) {
  return Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit)));
}

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
 * The `count` highest scores with their labels, highest first; of equals the one of lower index.
 * @param {number[]} scores
 * @param {number} count
 * @param {Record<string, string>} names by index; transformers' word for one that has none
 * @returns {{label: string, score: number}[]}
 */
export function rankLabels(scores, count, names) {
  const ranked = scores.map((score, index) => ({ label: names[index] ?? `LABEL_${index}`, score }));
  return ranked.sort((one, other) => other.score - one.score).slice(0, count);
}
