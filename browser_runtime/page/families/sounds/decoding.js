/**
 * Greedy decoding, one token a step, on a merged decoder graph with a cache.
 */
import { findFlaw } from '../../engines/low_bits/sampler.js';
import { Fault } from '../../faults.js';
import { makeFeeds } from '../graphs/feeds.js';
import { readFloats } from '../graphs/floats.js';
import { KvCache } from '../graphs/kv_cache.js';
import { stopIfCancelled } from '../graphs/results.js';
import { chooseStamped } from './stamps.js';

/** @typedef {import('../contract.js').Graph} Graph */
/** @typedef {import('../contract.js').Tensors} Tensors */
/** @typedef {import('../graphs/results.js').Stopwatch} Stopwatch */
/** @typedef {import('onnxruntime-common').Tensor} Tensor */
/**
 * @typedef {object} Rules of a model, as the worker read them
 * @property {number[]} ends tokens that end a transcript
 * @property {Set<number>} never tokens that are never chosen
 * @property {Set<number>} notFirst tokens that are not chosen first either
 */
/**
 * @typedef {object} Task
 * @property {Tensor} heard the encoder's output
 * @property {number[]} prompt
 * @property {Rules} rules
 * @property {number} maxTokens
 * @property {import('./stamps.js').Stamps} [stamps] where the transcript is to have time stamps
 */

export class Decoder {
  /**
   * @param {Graph} graph
   * @param {typeof import('onnxruntime-common')} ort
   */
  constructor(graph, ort) {
    this.graph = graph;
    this.ort = ort;
  }

  /**
   * The tokens that follow the prompt, without the one that ends them.
   * @param {Task} task
   * @param {Stopwatch} watch
   * @param {() => boolean} isCancelled
   * @returns {Promise<number[]>}
   */
  async generate({ heard, prompt, rules, maxTokens, stamps }, watch, isCancelled) {
    const cache = new KvCache(this.graph, this.ort);
    /** @type {number[]} */
    const tokens = [];
    try {
      while (tokens.length < maxTokens) {
        await stopIfCancelled(isCancelled);
        const known = tokens.length > 0 ? tokens.slice(-1) : prompt;
        const logits = await this.#step(known, heard, cache, watch);
        const suppressed = tokens.length > 0 ? rules.never : rules.notFirst;
        const token = chooseToken(logits, suppressed, stamps && { tokens, stamps });
        if (rules.ends.includes(token)) break;
        tokens.push(token);
      }
      return tokens;
    } finally {
      cache.release();
    }
  }

  /**
   * The likeliest of `allowed` right after `prompt`.
   * @param {Tensor} heard
   * @param {number[]} prompt
   * @param {number[]} allowed
   * @param {Stopwatch} watch
   * @returns {Promise<number>}
   */
  async pick(heard, prompt, allowed, watch) {
    const cache = new KvCache(this.graph, this.ort);
    try {
      const logits = await this.#step(prompt, heard, cache, watch);
      const best = chooseToken(
        Float32Array.from(allowed, (id) => logits[id] ?? -Infinity),
        new Set(),
      );
      return /** @type {number} */ (allowed[best]);
    } finally {
      cache.release();
    }
  }

  /**
   * The logits after the last of `ids`; the cache then holds them too.
   * @param {number[]} ids
   * @param {Tensor} heard
   * @param {KvCache} cache
   * @param {Stopwatch} watch
   * @returns {Promise<Float32Array>}
   */
  async #step(ids, heard, cache, watch) {
    /** @type {Tensors} */
    const known = { ...cache.feeds, encoder_hidden_states: heard };
    const { model, inputMetadata } = this.graph;
    const unknown = { model, inputMetadata: inputMetadata.filter(({ name }) => !(name in known)) };
    const fresh = makeFeeds(this.ort, unknown, {
      input_ids: { data: Int32Array.from(ids), dims: [1, ids.length] },
      use_cache_branch: { data: Int32Array.of(Number(!cache.isEmpty)), dims: [1] },
    });
    const outputs = await watch.run(this.graph, { ...known, ...fresh });
    cache.take(outputs);
    if (!outputs.logits) {
      const given = `its decoder gives ${this.graph.outputNames} but no logits`;
      throw new Fault('ModelFault', this.graph.model, given);
    }
    const logits = readFloats(outputs.logits);
    const last = logits.subarray(logits.length - (outputs.logits.dims.at(-1) ?? 0));
    const flaw = findFlaw(last);
    if (flaw) throw new Fault('BadOutput', flaw);
    return last;
  }
}

/**
 * The token of the highest logit that is not suppressed; of equals the lower one. Raises BadOutput when a logit is
 * NaN or infinite, or every token is suppressed.
 * @param {Float32Array} logits
 * @param {Set<number>} suppressed
 * @param {{tokens: number[], stamps: import('./stamps.js').Stamps}} [timed] where there are to be time stamps
 * @returns {number}
 */
export function chooseToken(logits, suppressed, timed) {
  let best = -1;
  for (const [token, logit] of logits.entries()) {
    if (!Number.isFinite(logit)) throw new Fault('BadOutput', `the logit of token ${token} is ${logit}`);
    if (suppressed.has(token)) continue;
    if (best < 0 || logit > /** @type {number} */ (logits[best])) best = token;
  }
  if (timed) best = chooseStamped(logits, suppressed, timed.tokens, timed.stamps);
  if (best < 0) throw new Fault('BadOutput', 'every token is suppressed');
  return best;
}
