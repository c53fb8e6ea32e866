/**
 * The next token from its logits, as transformers does it: repetition penalty, temperature, top_k, top_p, then chance.
 */
import { uniform } from '../../kernels/random.js';

/**
 * @typedef {object} Sampling
 * @property {number} [temperature] 0, the default: the likeliest token
 * @property {number} [top_k] 0, the default: all
 * @property {number} [top_p] 1, the default: all
 * @property {number} [repetition_penalty] 1, the default: none
 * @property {number} [seed]
 */

export class Sampler {
  /** @type {Set<number>} */
  #seen;
  #next;

  /** @param {Sampling} sampling @param {number[]} prompt */
  constructor(
    { temperature = 0, top_k: topK = 0, top_p: topP = 1, repetition_penalty: penalty = 1, seed = 0 },
    prompt,
  ) {
    this.temperature = temperature;
    this.topK = topK;
    this.topP = topP;
    this.penalty = penalty;
    this.#seen = new Set(prompt);
    this.#next = uniform(seed);
  }

  /** True where the likeliest token is taken, whatever came before. */
  get isGreedy() {
    return !(this.temperature > 0) && this.penalty === 1;
  }

  /** The token; `logits` are changed. @param {Float32Array} logits @returns {number} */
  sample(logits) {
    if (this.penalty !== 1) this.#penalize(logits);
    const token = this.temperature > 0 ? this.#draw(logits) : likeliest(logits);
    this.#seen.add(token);
    return token;
  }

  /** @param {Float32Array} logits */
  #penalize(logits) {
    for (const token of this.#seen) {
      const logit = logits[token] ?? 0;
      logits[token] = logit > 0 ? logit / this.penalty : logit * this.penalty;
    }
  }

  /** @param {Float32Array} logits */
  #draw(logits) {
    const kept = this.#keep(logits);
    const total = kept.reduce((sum, { weight }) => sum + weight, 0);
    let rest = this.#next() * total;
    for (const { token, weight } of kept) {
      rest -= weight;
      if (rest < 0) return token;
    }
    return /** @type {{token: number}} */ (kept.at(-1)).token;
  }

  /** What top_k and top_p leave, with weights that need not add up to 1. @param {Float32Array} logits */
  #keep(logits) {
    const largest = logits[likeliest(logits)] ?? 0;
    const floor = this.topK > 0 && this.topK < logits.length ? kthLargest(logits, this.topK) : -Infinity;
    let kept = [];
    let total = 0;
    for (const [token, logit] of logits.entries()) {
      if (logit < floor) continue;
      const weight = Math.exp((logit - largest) / this.temperature);
      kept.push({ token, weight });
      total += weight;
    }
    if (this.topP >= 1) return kept;
    // Tokens lighter than this weigh, all of them together, less than what top_p leaves out.
    const least = ((1 - this.topP) * total) / kept.length;
    kept = kept.filter(({ weight }) => weight >= least).sort((a, b) => b.weight - a.weight);
    let sum = 0;
    const end = kept.findIndex(({ weight }) => {
      sum += weight;
      return sum >= this.topP * total;
    });
    // Rounding may leave the sum of all just below what is asked for.
    return end < 0 ? kept : kept.slice(0, end + 1);
  }
}

/**
 * Why logits choose no token: one is no number, or all are equal; empty where they do. -Infinity bars a token.
 * @param {Float32Array} logits
 */
export function findFlaw(logits) {
  const odd = logits.findIndex((logit) => Number.isNaN(logit) || logit === Infinity);
  if (odd >= 0) return `the logit of token ${odd} is ${logits[odd]}`;
  const isFlat = logits.length > 1 && logits.every((logit) => logit === logits[0]);
  return isFlat ? `all ${logits.length} logits of a token are equal` : '';
}

/** The first of the largest. @param {Float32Array} logits */
export function likeliest(logits) {
  let best = 0;
  let largest = logits[0] ?? 0;
  for (let token = 1; token < logits.length; token++) {
    const logit = /** @type {number} */ (logits[token]);
    if (logit > largest) {
      largest = logit;
      best = token;
    }
  }
  return best;
}

/** @param {Float32Array} logits @param {number} k */
const kthLargest = (logits, k) => logits.slice().sort().at(-k) ?? -Infinity;
