/**
 * Images -> labels: classifiers such as ViT. Pixels are prepared here, not on a canvas, so that every browser
 * gives the model the same numbers.
 */
import { Fault } from '../faults.js';
import { runBatches } from './graphs/batches.js';
import { BATCH_SIZES, pickBucket, splitBatches } from './graphs/buckets.js';
import { checkSizes, fixedSize, makeFeeds } from './graphs/feeds.js';
import { checkFinite, readFloats } from './graphs/floats.js';
import { cacheGraphs, GraphSource, usesStaticShapes } from './graphs/model_graphs.js';
import { PACKED_ENCODER } from './graphs/packed_encoder.js';
import { makeReady } from './graphs/ready.js';
import { NO_RECALL } from './graphs/recall.js';
import { openPackedClassifier } from './images/packed_classifier.js';
import { drawSample, preparePixels, readPixels } from './images/pixels.js';
import { rankLabels, scoreLogits } from './images/scores.js';
import { openTowerAndHead } from './towers/head.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {{labels: {label: string, score: number}[], logits: Float32Array}} Output */
/** @typedef {{logits: Float32Array, classes: number}} Computed `logits` is [rows, classes] */
/**
 * @typedef {object} Settings the worker's plan of the model's files (browser_runtime/families/vision.py)
 * @property {import('./images/pixels.js').Plan} pixels
 * @property {Record<string, string>} labels by index
 * @property {Record<string, unknown>} example
 */
/** @typedef {{top_k: number, function: import('./images/scores.js').ScoreFunction}} Choices of the worker, for one call */

const BATCHES_AT_ONCE = 4;

/**
 * @typedef {object} Logits makes logits of prepared pixels: one graph, a tower and a head, or an encoder of 8 bits
 * @property {number} maxBatch
 * @property {boolean} isStatic
 * @property {number} openedMs
 * @property {Record<string, unknown>} [facts] details of an engine of our own
 * @property {() => Promise<import('./contract.js').Graph[]>} openGraphs
 * @property {() => Promise<void>} release
 * @property {(batch: Float32Array[], watch: import('./graphs/results.js').Stopwatch, buckets: number[], recall: import('./graphs/recall.js').Recall) => Promise<Computed>} compute
 */

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<Output>>}
 */
export async function open(opening) {
  const { pixels: plan, labels, example } = /** @type {Settings} */ (opening.model.settings);
  const logits = await openLogits(opening, plan);
  const classifier = new Classifier(logits, plan, labels);
  return makeReady(opening, classifier, { item: drawSample(plan), options: example });
}

/**
 * @param {Opening} opening
 * @param {import('./images/pixels.js').Plan} plan
 * @returns {Promise<Logits>}
 */
async function openLogits(opening, plan) {
  const { graphs } = opening.model;
  if (PACKED_ENCODER in graphs) return openPackedClassifier(opening, plan);
  return 'vision_model' in graphs ? openTowerAndHead(opening, plan) : openWhole(opening, plan);
}

class Classifier {
  /**
   * @param {Logits} logits
   * @param {import('./images/pixels.js').Plan} plan
   * @param {Record<string, string>} names
   */
  constructor(logits, plan, names) {
    this.logits = logits;
    this.plan = plan;
    this.names = names;
  }

  /**
   * @param {unknown[]} images
   * @param {Record<string, unknown>} options the worker's choices
   * @param {() => boolean} isCancelled
   * @param {unknown} [_] a stream, which only generated text has
   * @param {import('./graphs/recall.js').Recall} [recall]
   */
  async run(images, options, isCancelled, _, recall = NO_RECALL) {
    const choices = /** @type {Choices} */ (options);
    /** @type {number[]} */
    const buckets = [];
    const { maxBatch, openedMs: before } = this.logits;
    /** @type {import('./graphs/batches.js').Steps<Float32Array, Computed, Output>} */
    const steps = {
      prepare: (image, index) => preparePixels(readPixels(image, `images[${index}]`), this.plan),
      split: (prepared) => splitBatches(prepared, maxBatch),
      // 256 images of a thousand pixels a side would take 3 GB before the first was looked at.
      atOnce: maxBatch * BATCHES_AT_ONCE,
      compute: (batch, watch) => this.logits.compute(batch, watch, buckets, recall),
      finish: (computed, row) => this.#finish(computed, row, choices),
    };
    const done = await runBatches(images, steps, isCancelled);
    const opened_ms = this.logits.openedMs - before;
    return { ...done, details: { ...this.describe(), bucket: buckets[0] ?? null, buckets, opened_ms } };
  }

  /** The shape of the graph's input for an image. */
  describe() {
    const { channels, height, width } = this.plan;
    return { input: [channels, height, width], static_shapes: this.logits.isStatic, ...this.logits.facts };
  }

  listAccelerations() {
    return this.logits.isStatic ? ['buckets'] : [];
  }

  openGraphs() {
    return this.logits.openGraphs();
  }

  release() {
    return this.logits.release();
  }

  /**
   * @param {Computed} computed
   * @param {number} row
   * @param {Choices} choices
   * @returns {Output}
   */
  #finish({ logits: all, classes }, row, choices) {
    const logits = all.slice(row * classes, (row + 1) * classes);
    checkFinite(logits, 'logit');
    const scores = scoreLogits(logits, choices.function);
    return { labels: rankLabels(scores, choices.top_k, this.names), logits };
  }
}

/**
 * Raises ModelFault where the graph takes images of another size than they are made.
 * @param {Opening} opening
 * @param {import('./images/pixels.js').Plan} plan
 */
async function openWhole(opening, plan) {
  const { channels, height, width } = plan;
  const source = new GraphSource(opening, 'model');
  const shapes = await source.readShapes();
  checkSizes(opening.model.name, 'pixel_values', shapes.pixel_values, [-1, channels, height, width]);
  return new WholeClassifier(opening, source, fixedSize(shapes, 'pixel_values', 0), plan);
}

/** One graph from pixels to logits. */
class WholeClassifier {
  /**
   * @param {Opening} opening
   * @param {GraphSource} source
   * @param {number | null} rows images that every batch must hold; null where any number will do
   * @param {import('./images/pixels.js').Plan} plan
   */
  constructor(opening, source, rows, plan) {
    this.rows = rows;
    this.ort = opening.realm.ort;
    this.model = opening.model.name;
    this.isStatic = usesStaticShapes(opening);
    this.plan = plan;
    this.maxBatch = rows ?? opening.model.limits.max_batch;
    this.graphs = cacheGraphs(opening, source);
  }

  get openedMs() {
    return this.graphs.openedMs;
  }

  async openGraphs() {
    return [await this.#takeGraph(this.rows ?? 1)];
  }

  release() {
    return this.graphs.release();
  }

  /**
   * @param {Float32Array[]} batch
   * @param {import('./graphs/results.js').Stopwatch} watch
   * @param {number[]} buckets where the batch's size is noted
   * @returns {Promise<Computed>}
   */
  async compute(batch, watch, buckets) {
    const rows = this.rows ?? (this.isStatic ? pickBucket(batch.length, BATCH_SIZES) : batch.length);
    buckets.push(rows);
    const graph = await this.#takeGraph(rows);
    const logits = (await watch.run(graph, this.#feed(graph, batch, rows))).logits;
    if (!logits)
      throw new Fault('ModelFault', this.model, `its graph gives ${graph.outputNames} but no logits`);
    return { logits: readFloats(logits), classes: logits.dims.at(-1) ?? 0 };
  }

  /** @param {number} rows */
  #takeGraph(rows) {
    return this.graphs.take({ pixel_values: [rows, this.plan.channels, this.plan.height, this.plan.width] });
  }

  /**
   * @param {import('./contract.js').Graph} graph
   * @param {Float32Array[]} batch
   * @param {number} rows more than the batch's where the bucket is larger; those stay zero
   */
  #feed(graph, batch, rows) {
    const { channels, height, width } = this.plan;
    const size = channels * height * width;
    const data = new Float32Array(rows * size);
    for (const [row, planes] of batch.entries()) data.set(planes, row * size);
    const dims = [rows, channels, height, width];
    return makeFeeds(this.ort, graph, { pixel_values: { data, dims } });
  }
}
