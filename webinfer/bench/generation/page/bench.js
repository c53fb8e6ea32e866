// Engines side by side in one page: each is opened once, and run when the command says so.
import { openOurs } from './ours.js';
import { openTransformers } from './transformers.js';
import { openWllama } from './wllama.js';

/**
 * What a run tells: milliseconds from the request to each token, and tokens or their text.
 * @typedef {{times_ms: number[], prompt_tokens: number, tokens: number[], text: string}} Told
 * @typedef {{run: (tokens: number[], text: string, count: number) => Promise<Told>}} Engine
 */

const OPENERS = { webinfer: openOurs, wllama: openWllama, 'transformers.js': openTransformers };
/** @type {Record<string, Engine>} */
const opened = {};

/** @type {any} */ (window).bench = {
  /** @param {string} name @param {keyof typeof OPENERS} engine @param {any} options */
  async open(name, engine, options) {
    opened[name] = await OPENERS[engine](options);
  },
  /** @param {string} name @param {number[]} tokens @param {string} text @param {number} count */
  async run(name, tokens, text, count) {
    return opened[name].run(tokens, text, count);
  },
};
