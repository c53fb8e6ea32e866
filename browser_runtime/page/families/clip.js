/**
 * Images and texts -> vectors of one space, and scores of texts for an image: CLIP, SigLIP.
 *
 * Each of the two graphs runs once for all items of a call; a text that several items hold is embedded once.
 */
import { Fault } from '../faults.js';
import { GraphSource } from './graphs/model_graphs.js';
import { makeReady } from './graphs/ready.js';
import { NO_RECALL } from './graphs/recall.js';
import { settle } from './graphs/results.js';
import { drawSample } from './images/pixels.js';
import { rankLabels, sigmoid, softmax } from './images/scores.js';
import { readTokens } from './texts/tokens.js';
import { ImageTower } from './towers/image_tower.js';
import { TextTower } from './towers/text_tower.js';
import { cosine, normalize } from './towers/vectors.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./contract.js').Timings} Timings */
/** @typedef {import('./texts/tokens.js').Tokens} Tokens */
/**
 * @typedef {object} Output
 * @property {Float32Array} embedding the image's; the text's where there is no image
 * @property {{label: string, score: number}[]} [labels] of an image with texts
 * @property {Float32Array} [logits] in the texts' order
 * @property {number} [tokens] of a text alone
 * @property {boolean} [truncated]
 */
/**
 * @typedef {object} Settings the worker's plan of the model's files (browser_runtime/families/clip.py)
 * @property {import('./images/pixels.js').Plan} pixels
 * @property {{scale: number | null, bias: number, function: 'softmax' | 'sigmoid', max_tokens: number, pads_fully: boolean}} comparison
 * @property {number} pad_id
 * @property {{texts: Text[]}} sample
 * @property {Record<string, unknown>} example
 * @property {Record<string, unknown>} details
 */
/** @typedef {{name: string, tokens: unknown}} Text */
/** @typedef {{image: unknown, texts: Text[] | null}} Item as the worker sends it */
/** @typedef {{top_k: number | null, normalize: boolean}} Choices of the worker, for one call */
/** @typedef {import('./contract.js').Result<Float32Array>} Embedded */

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<Output>>}
 */
export async function open(opening) {
  const settings = /** @type {Settings} */ (opening.model.settings);
  const images = await openImages(opening, settings);
  const texts = await openTexts(opening, settings);
  const sample = { image: drawSample(settings.pixels), texts: settings.sample.texts };
  return makeReady(opening, new Comparer(settings, images, texts), {
    item: sample,
    options: settings.example,
  });
}

/**
 * @param {Opening} opening
 * @param {Settings} settings
 */
async function openImages(opening, { pixels }) {
  const source = new GraphSource(opening, 'vision_model');
  return new ImageTower(opening, source, await source.readShapes(), pixels);
}

/**
 * @param {Opening} opening
 * @param {Settings} settings
 */
async function openTexts(opening, { comparison, pad_id: padId }) {
  const source = new GraphSource(opening, 'text_model');
  const padding = { padId, maxTokens: comparison.max_tokens, padsFully: comparison.pads_fully };
  return new TextTower(opening, source, await source.readShapes(), padding);
}

class Comparer {
  /**
   * @param {Settings} settings
   * @param {ImageTower} images
   * @param {TextTower} texts
   */
  constructor({ comparison, sample, details }, images, texts) {
    this.comparison = comparison;
    this.sample = sample;
    this.details = details;
    this.images = images;
    this.texts = texts;
  }

  async openGraphs() {
    const tokens = this.sample.texts.map((text) => readTokens(text.tokens, 'settings.sample'));
    const longest = Math.max(...tokens.map(({ ids }) => ids.length));
    const sizes = this.texts.chooseSizes(tokens.length, longest);
    return [await this.images.takeGraph(), await this.texts.takeGraph(sizes)];
  }

  describe() {
    return { ...this.details, static_shapes: this.images.isStatic };
  }

  async release() {
    await Promise.all([this.images.release(), this.texts.release()]);
  }

  /**
   * @param {unknown[]} items
   * @param {Record<string, unknown>} options the worker's choices
   * @param {() => boolean} isCancelled
   * @param {unknown} [_] a stream, which only generated text has
   * @param {import('./graphs/recall.js').Recall} [recall]
   */
  async run(items, options, isCancelled, _, recall = NO_RECALL) {
    const choices = /** @type {Choices} */ (options);
    const given = items.map((item) => /** @type {Item} */ (item));
    const opened = () => this.images.graphs.openedMs + this.texts.graphs.openedMs;
    const before = opened();
    const shown = given.flatMap(({ image }, at) => (image ? [{ image, field: `images[${at}]` }] : []));
    const images = await this.images.embed(shown, isCancelled, recall);
    const spoken = collectTexts(given);
    const texts = await this.texts.embed([...spoken.values()], isCancelled, recall);
    const byText = new Map([...spoken.keys()].map((key, at) => [key, texts.results[at]]));
    const left = [...images.results];
    const results = [];
    for (const item of given) {
      const image = item.image ? left.shift() : undefined;
      results.push(await settle(() => this.#finish(item, image, byText, choices)));
    }
    const details = { ...this.describe(), opened_ms: opened() - before };
    return { results, timings: addTimings(images.timings, texts.timings), details };
  }

  /**
   * @param {Item} item
   * @param {Embedded | undefined} image
   * @param {Map<string, Embedded | undefined>} byText
   * @param {Choices} choices
   * @returns {Output}
   */
  #finish(item, image, byText, { top_k: count, normalize: wantsUnit }) {
    const read = (/** @type {Embedded | undefined} */ embedded) => {
      if (embedded?.ok) return embedded.output;
      const { code, args } = embedded?.error ?? { code: 'BadOutput', args: ['an item has no vector'] };
      throw new Fault(code, ...args);
    };
    const texts = item.texts ?? [];
    const vectors = texts.map((text) => read(byText.get(keyOf(text))));
    const embedding = image ? read(image) : (vectors[0] ?? new Float32Array());
    const shown = { embedding: wantsUnit ? normalize(embedding) : embedding };
    if (!image) {
      const { ids, truncated } = readTokens(texts[0]?.tokens, 'texts');
      return { ...shown, tokens: ids.length, truncated };
    }
    return texts.length === 0 ? shown : { ...shown, ...this.#score(embedding, vectors, texts, count) };
  }

  /**
   * @param {Float32Array} image
   * @param {Float32Array[]} vectors of the texts
   * @param {Text[]} texts
   * @param {number | null} count
   */
  #score(image, vectors, texts, count) {
    const { scale, bias, function: name } = this.comparison;
    const logits = Float32Array.from(vectors, (vector) => (scale ?? 1) * cosine(image, vector) + bias);
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
