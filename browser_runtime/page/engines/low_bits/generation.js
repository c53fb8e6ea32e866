/** One prompt on its way: its tokens, when it ends, what it took. */
import { Fault } from '../../faults.js';
import { findFlaw, Sampler } from './sampler.js';

/** @typedef {'stop' | 'length' | 'cancelled' | 'failed'} Finish */
/**
 * @typedef {object} Request
 * @property {number[]} tokens the prompt
 * @property {number} [earlier] tokens at its end that an earlier run has generated
 * @property {number} maxNewTokens
 * @property {number[]} [stopTokens] tokens that end it; the one that did is the last of `generated`
 * @property {import('./sampler.js').Sampling} [sampling]
 * @property {Picture[]} [pictures] rows that stand in the place of tokens of the prompt
 */
/** @typedef {{start: number, number: number, rows: Float32Array[]}} Picture `number`: one for each content, from 0 */

/** What a backend that chooses by itself gives in place of a token, and why: see kernels/wgsl/choose.wgsl. */
export const ODD_LOGIT = 0xffffffff;
export const EQUAL_LOGITS = 0xfffffffe;
const FLAWS = new Map([
  [ODD_LOGIT, 'a logit of a token is NaN or infinite'],
  [EQUAL_LOGITS, 'all logits of a token are equal'],
]);

// The most rows of a picture. Each gets a number below 0 in the place of its token, by which caches tell pictures apart.
const MOST_ROWS = 1 << 20;

let opened = 0;

export class Generation {
  /** @type {Finish | null} */
  finish = null;
  /** @type {Fault | null} why it failed */
  error = null;
  isCancelled = false;
  /** Tokens of the prompt that another one had left in a cache. */
  reused = 0;
  /** Where the cache is to be copied on the way, for prompts that begin alike; 0: nowhere. */
  keepAt = 0;
  /** Tokens of the prompt itself: `prompt` may end with those of an earlier run. */
  promptTokens = 0;
  /** @type {Map<number, Float32Array>} the row of each number below 0 */
  #rows = new Map();
  prefillMs = 0;
  decodeMs = 0;
  #room;

  /** @param {Request} request @param {number} context */
  constructor({ tokens, maxNewTokens, stopTokens = [], sampling = {}, pictures = [] }, context) {
    this.id = ++opened;
    this.prompt = tokens.slice();
    for (const { start, number, rows } of pictures) {
      for (const [at, row] of rows.entries()) {
        const token = -1 - (number * MOST_ROWS + at);
        this.prompt[start + at] = token;
        this.#rows.set(token, row);
      }
    }
    this.stopTokens = new Set(stopTokens);
    this.sampler = new Sampler(sampling, tokens);
    /** The prompt and what followed. */
    this.tokens = this.prompt.slice();
    // The last token is told, but needs no place in the cache.
    this.#room = Math.min(maxNewTokens, context - tokens.length + 1);
    // An earlier run may have filled the context: nothing is left to compute.
    if (this.#room <= 0) this.finish = 'length';
  }

  /** The tokens so far, without the prompt. */
  get generated() {
    return this.tokens.slice(this.prompt.length);
  }

  /** What a place of `tokens` holds: a token, or a row in its place. @param {number} token */
  read(token) {
    const row = this.#rows.get(token);
    return row ? { token: 0, row } : { token };
  }

  /** Ends it at the next step, before anything more is computed for it. */
  cancel() {
    this.isCancelled = true;
  }

  /**
   * The next token by its logits; null, and the generation has failed, where they choose none: its neighbours go on.
   * @param {Float32Array} logits
   */
  take(logits) {
    const flaw = findFlaw(logits);
    return flaw ? this.#fail(flaw) : this.accept(this.sampler.sample(logits));
  }

  /** Tokens that may still come. */
  get room() {
    return this.#room - (this.tokens.length - this.prompt.length);
  }

  /** A token that was chosen; null, and the generation has failed, for one of FLAWS. @param {number} token */
  accept(token) {
    const flaw = FLAWS.get(token);
    if (flaw) return this.#fail(flaw);
    this.tokens.push(token);
    this.sampler.note(token);
    if (this.stopTokens.has(token)) this.finish = 'stop';
    else if (this.tokens.length - this.prompt.length >= this.#room) this.finish = 'length';
    return token;
  }

  /** @param {string} why @returns {null} */
  #fail(why) {
    this.finish = 'failed';
    this.error = new Fault('BadOutput', why);
    return null;
  }

  /** Counts its share of a step's time. @param {number} ms */
  spend(ms) {
    if (this.tokens.length > this.prompt.length) this.decodeMs += ms;
    else this.prefillMs += ms;
  }
}
