/**
 * Vectors of images or sounds and of texts in one space, and scores of texts for each of the others.
 *
 * Each of the two graphs runs once for all items of a call; a text that several items hold is embedded once.
 */
import { Fault } from '../../faults.js';
import { GraphSource } from '../graphs/model_graphs.js';
import { NO_RECALL } from '../graphs/recall.js';
import { settle } from '../graphs/results.js';
import { rankLabels, sigmoid, softmax } from '../images/scores.js';
import { readTokens } from '../texts/tokens.js';
import { TextTower } from './text_tower.js';
import { cosine, normalize } from './vectors.js';

/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {import('../contract.js').Timings} Timings */
/** @typedef {import('../contract.js').Graph} Graph */
/** @typedef {import('../texts/tokens.js').Tokens} Tokens */
/**
 * @typedef {object} Output
 * @property {Float32Array} embedding the image's or sound's; the text's where there is neither
 * @property {{label: string, score: number}[]} [labels] of an image or a sound with texts
 * @property {Float32Array} [logits] in the texts' order
 * @property {number} [tokens] of a text alone
 * @property {boolean} [truncated] of a text or a sound
 * @property {number} [duration_s] of a sound
 */
/**
 * @typedef {object} Settings the worker's plan of the model's files (browser_runtime/families/comparing.py)
 * @property {{scale: number | null, bias: number, function: 'softmax' | 'sigmoid', max_tokens: number, pads_fully: boolean}} comparison
 * @property {number} pad_id
 * @property {{texts: Text[]}} sample
 * @property {Record<string, unknown>} example
 * @property {Record<string, unknown>} details
 */
/** @typedef {{name: string, tokens: unknown}} Text */
/** @typedef {{array: unknown, texts: Text[] | null, facts: Record<string, unknown>}} Item as the worker sends it */
/** @typedef {{top_k: number | null, normalize: boolean, compute_shaders?: boolean | null}} Choices of the worker, for one call */
/** @typedef {import('../contract.js').Result<Float32Array>} Embedded */
/** @typedef {import('../graphs/recall.js').Recall} Recall */
/**
 * @typedef {object} ArrayTower the graph that embeds images or sounds
 * @property {{openedMs: number}} graphs
 * @property {boolean} isStatic
 * @property {() => Promise<Graph>} takeGraph
 * @property {(items: {array: unknown, field: string}[], isCancelled: () => boolean, recall: Recall, choices: Choices) => Promise<{results: Embedded[], timings: Timings, acceleration?: string[], not_accelerated?: Record<string, string>}>} embed
 * @property {{describe: () => Record<string, unknown>}} [frontEnds] of sounds
 * @property {() => Promise<void>} release
 */

/**
 * The tower of a model's texts.
 * @param {Opening} opening
 * @param {Settings} settings
 */
export async function openTexts(opening, { comparison, pad_id: padId }) {
  const source = new GraphSource(opening, 'text_model');
  const padding = { padId, maxTokens: comparison.max_tokens, padsFully: comparison.pads_fully };
  return new TextTower(opening, source, await source.readShapes(), padding);
}

export class Comparer {
  /**
   * @param {Settings} settings
   * @param {ArrayTower} arrays of images or sounds
   * @param {TextTower} texts
   * @param {string} batch the name of those items in a request
   */
  constructor({ comparison, sample, details }, arrays, texts, batch) {
    this.comparison = comparison;
    this.sample = sample;
    this.details = details;
    this.arrays = arrays;
    this.batch = batch;
    this.texts = texts;
  }

  async openGraphs() {
    const tokens = this.sample.texts.map((text) => readTokens(text.tokens, 'settings.sample'));
    const longest = Math.max(...tokens.map(({ ids }) => ids.length));
    const sizes = this.texts.chooseSizes(tokens.length, longest);
    return [await this.arrays.takeGraph(), await this.texts.takeGraph(sizes)];
  }

  listAccelerations() {
    return this.arrays.isStatic ? ['buckets'] : [];
  }

  describe() {
    return { ...this.details, static_shapes: this.arrays.isStatic, ...this.arrays.frontEnds?.describe() };
  }

  async release() {
    await Promise.all([this.arrays.release(), this.texts.release()]);
  }

  /**
   * @param {unknown[]} items
   * @param {Record<string, unknown>} options the worker's choices
   * @param {() => boolean} isCancelled
   * @param {unknown} [_] a stream, which only generated text has
   * @param {Recall} [recall]
   */
  async run(items, options, isCancelled, _, recall = NO_RECALL) {
    const choices = /** @type {Choices} */ (options);
    const given = items.map((item) => /** @type {Item} */ (item));
    const opened = () => this.arrays.graphs.openedMs + this.texts.graphs.openedMs;
    const before = opened();
    const shown = given.flatMap(({ array }, at) => (array ? [{ array, field: `${this.batch}[${at}]` }] : []));
    const arrays = await this.arrays.embed(shown, isCancelled, recall, choices);
    const spoken = collectTexts(given);
    const texts = await this.texts.embed([...spoken.values()], isCancelled, recall);
    const byText = new Map([...spoken.keys()].map((key, at) => [key, texts.results[at]]));
    const left = [...arrays.results];
    const results = [];
    for (const item of given) {
      const array = item.array ? left.shift() : undefined;
      results.push(await settle(() => this.#finish(item, array, byText, choices)));
    }
    const details = { ...this.describe(), opened_ms: opened() - before };
    const { acceleration = [], not_accelerated = {} } = arrays;
    const timings = addTimings(arrays.timings, texts.timings);
    return { results, timings, acceleration, not_accelerated, details };
  }

  /**
   * @param {Item} item
   * @param {Embedded | undefined} array
   * @param {Map<string, Embedded | undefined>} byText
   * @param {Choices} choices
   * @returns {Output}
   */
  #finish(item, array, byText, { top_k: count, normalize: wantsUnit }) {
    const read = (/** @type {Embedded | undefined} */ embedded) => {
      if (embedded?.ok) return embedded.output;
      const { code, args } = embedded?.error ?? { code: 'BadOutput', args: ['an item has no vector'] };
      throw new Fault(code, ...args);
    };
    const texts = item.texts ?? [];
    const vectors = texts.map((text) => read(byText.get(keyOf(text))));
    const embedding = array ? read(array) : (vectors[0] ?? new Float32Array());
    const shown = { embedding: wantsUnit ? normalize(embedding) : embedding };
    if (!array) {
      const { ids, truncated } = readTokens(texts[0]?.tokens, 'texts');
      return { ...shown, tokens: ids.length, truncated };
    }
    const told = { ...shown, ...item.facts };
    return texts.length === 0 ? told : { ...told, ...this.#score(embedding, vectors, texts, count) };
  }

  /**
   * @param {Float32Array} array the vector of the image or sound
   * @param {Float32Array[]} vectors of the texts
   * @param {Text[]} texts
   * @param {number | null} count
   */
  #score(array, vectors, texts, count) {
    const { scale, bias, function: name } = this.comparison;
    const logits = Float32Array.from(vectors, (vector) => (scale ?? 1) * cosine(array, vector) + bias);
    const scores = name === 'sigmoid' ? sigmoid(logits) : softmax(logits);
    const names = Object.fromEntries(texts.map((text, at) => [at, text.name]));
    return { labels: rankLabels(scores, count ?? texts.length, names), logits };
  }
}

/**
 * Each text once, by its tokens.
 * @param {Item[]} items
 * @returns {Map<string, Tokens>}
 */
function collectTexts(items) {
  const texts = items.flatMap(({ texts }) => texts ?? []);
  return new Map(texts.map((text) => [keyOf(text), readTokens(text.tokens, 'texts')]));
}

/** @param {Text} text */
function keyOf({ tokens }) {
  return readTokens(tokens, 'texts').ids.join();
}

/**
 * @param {Timings} one
 * @param {Timings} other
 * @returns {Timings}
 */
function addTimings(one, other) {
  return {
    preprocess_ms: one.preprocess_ms + other.preprocess_ms,
    compute_ms: one.compute_ms + other.compute_ms,
    readback_ms: one.readback_ms + other.readback_ms,
    postprocess_ms: one.postprocess_ms + other.postprocess_ms,
  };
}
