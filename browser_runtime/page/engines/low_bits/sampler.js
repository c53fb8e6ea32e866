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

  /** @param {Sampling} sampling @param {number[]} prompt @param {() => number} [next] chances; the seed's by default */
  constructor(
    { temperature = 0, top_k: topK = 0, top_p: topP = 1, repetition_penalty: penalty = 1, seed = 0 },
    prompt,
    next = uniform(seed),
  ) {
    this.temperature = temperature;
    this.topK = topK;
    this.topP = topP;
    this.penalty = penalty;
    this.#seen = new Set(prompt);
    this.#next = next;
  }

  /** What a backend needs to choose `n` tokens by itself. @param {number} n @returns {import('./backend.js').RowChoice} */
  lookAhead(n) {
    const { temperature, topK, topP, penalty } = this;
    const chances = temperature > 0 ? Array.from({ length: n }, this.#next) : Array(n).fill(0);
    return { temperature, topK, topP, penalty, chances, seen: this.#seen };
  }

  /** Counts a token as one that was there. @param {number} token */
  note(token) {
    this.#seen.add(token);
  }

  /** The token; `logits` are changed. @param {Float32Array} logits @returns {number} */
  sample(logits) {
    if (this.penalty !== 1) this.#penalize(logits);
    const token = this.temperature > 0 ? this.#draw(logits) : likeliest(logits);
    this.note(token);
    return token;
  }

  /** @param {Float32Array} logits */
  #penalize(logits) {
    for (const token of this.#seen) {
      const logit = logits[token] ?? 0;
      logits[token] = logit > 0 ? logit / this.penalty : logit * this.penalty;
    }
  }

  /** The first token, in their order, at which the weights so far pass the part that chance says. @param {Float32Array} logits */
  #draw(logits) {
    const best = likeliest(logits);
    if (!Number.isFinite(logits[best])) return best;
    const kept = this.#keep(logits, logits[best] ?? 0);
    const total = kept.reduce((sum, { weight }) => sum + weight, 0);
    let rest = this.#next() * total;
    for (const { token, weight } of kept) {
      rest -= weight;
      if (rest < 0) return token;
    }
    return /** @type {{token: number}} */ (kept.at(-1)).token;
  }

  /**
   * What top_k and top_p leave, in the order of the tokens, with weights that need not add up to 1. Those that weigh the
   * same stay together.
   * @param {Float32Array} logits @param {number} largest
   */
  #keep(logits, largest) {
    const floor = this.topK > 0 && this.topK < logits.length ? kthLargest(logits, this.topK) : -Infinity;
    const kept = [];
    let total = 0;
    for (const [token, logit] of logits.entries()) {
      if (!(logit >= floor)) continue;
      const weight = Math.exp((logit - largest) / this.temperature);
      kept.push({ token, weight });
      total += weight;
    }
    if (this.topP >= 1) return kept;
    // Tokens lighter than this weigh, all of them together, less than what top_p leaves out.
    const least = ((1 - this.topP) * total) / kept.length;
    const heavy = kept.filter(({ weight }) => weight >= least);
    let sum = 0;
    const last = heavy
      .toSorted((a, b) => b.weight - a.weight)
      .find(({ weight }) => {
        sum += weight;
        return sum >= this.topP * total;
      });
    // Rounding may leave the sum of all just below what is asked for.
    return last ? heavy.filter(({ weight }) => weight >= last.weight) : heavy;
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
