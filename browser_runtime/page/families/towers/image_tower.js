/**
 * Images -> one vector each, through the graph that embeds them.
 */
import { runBatches } from '../graphs/batches.js';
import { BATCH_SIZES, pickBucket, splitBatches } from '../graphs/buckets.js';
import { checkSizes, fixedSize, makeFeeds } from '../graphs/feeds.js';
import { cacheGraphs, usesStaticShapes } from '../graphs/model_graphs.js';
import { nameEncoder } from '../graphs/recall.js';
import { preparePixels, readPixels } from '../images/pixels.js';
import { joinVectors, readVector, readVectors, splitVectors } from './vectors.js';

/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {import('./vectors.js').Vectors} Vectors */
/** @typedef {(graph: import('../contract.js').Graph, outputs: import('../contract.js').Tensors, rows: number) => Vectors} ReadRows */

const BATCHES_AT_ONCE = 4;
const OUTPUTS = ['image_embeds', 'pooler_output'];

export class ImageTower {
  /**
   * @param {Opening} opening
   * @param {import('../graphs/model_graphs.js').GraphSource} source
   * @param {Record<string, import('../graphs/dimension_names.js').Shape>} shapes
   * @param {import('../images/pixels.js').Plan} plan
   * @param {string} stem
   * @param {ReadRows} read what the graph gives, as a vector an image
   */
  constructor(opening, source, shapes, plan, stem = 'vision_model', read = readEmbeddings) {
    this.read = read;
    const { channels, height, width } = plan;
    // Graphs of Idefics3 take the images of a prompt together: [1, images, channels, height, width].
    this.isNested = shapes.pixel_values?.length === 5;
    const outer = this.isNested ? [-1, -1] : [-1];
    checkSizes(opening.model.name, 'pixel_values', shapes.pixel_values, [...outer, channels, height, width]);
    this.plan = plan;
    this.rows = fixedSize(shapes, 'pixel_values', outer.length - 1);
    this.ort = opening.realm.ort;
    this.isStatic = usesStaticShapes(opening);
    this.maxBatch = this.rows ?? opening.model.limits.max_batch;
    this.encoder = nameEncoder(opening, source, stem);
    this.graphs = cacheGraphs(opening, source);
  }

  /** @param {number} rows */
  takeGraph(rows = this.rows ?? 1) {
    return this.graphs.take({ pixel_values: this.#dims(rows) });
  }

  /** @param {number} rows */
  #dims(rows) {
    const { channels, height, width } = this.plan;
    return [...(this.isNested ? [1] : []), rows, channels, height, width];
  }

  /**
   * A vector for each image, or its error.
   * @param {{array: unknown, field: string}[]} items
   * @param {() => boolean} isCancelled
   * @param {import('../graphs/recall.js').Recall} recall
   */
  embed(items, isCancelled, recall) {
    /** @type {import('../graphs/batches.js').Steps<Float32Array, Vectors, Float32Array>} */
    const steps = {
      prepare: (item) => {
        const { array, field } = /** @type {{array: unknown, field: string}} */ (item);
        return preparePixels(readPixels(array, field), this.plan);
      },
      split: (prepared) => splitBatches(prepared, this.maxBatch),
      atOnce: this.maxBatch * BATCHES_AT_ONCE,
      compute: (batch, watch) => this.embedPixels(batch, watch, recall),
      finish: readVector,
    };
    return runBatches(items, steps, isCancelled);
  }

  release() {
    return this.graphs.release();
  }

  /**
   * @param {Float32Array[]} batch prepared pixels of each image
   * @param {import('../graphs/results.js').Stopwatch} watch
   * @param {import('../graphs/recall.js').Recall} recall
   * @returns {Promise<Vectors>}
   */
  async embedPixels(batch, watch, recall) {
    const inputs = batch.map((planes) => [planes]);
    const uses = await recall.encode(this.encoder, inputs, (missing) =>
      this.#compute(
        missing.map((at) => /** @type {Float32Array} */ (batch[at])),
        watch,
      ),
    );
    return joinVectors(uses);
  }

  /**
   * @param {Float32Array[]} batch
   * @param {import('../graphs/results.js').Stopwatch} watch
   */
  async #compute(batch, watch) {
    const rows = this.rows ?? (this.isStatic ? pickBucket(batch.length, BATCH_SIZES) : batch.length);
    const graph = await this.takeGraph(rows);
    const { channels, height, width } = this.plan;
    const data = new Float32Array(rows * channels * height * width);
    for (const [row, planes] of batch.entries()) data.set(planes, row * planes.length);
    /** @type {Record<string, import('../graphs/feeds.js').Values>} */
    const values = { pixel_values: { data, dims: this.#dims(rows) } };
    if (this.isNested) {
      const mask = new Int32Array(rows * height * width).fill(1);
      values.pixel_attention_mask = { data: mask, dims: [1, rows, height, width] };
    }
    const outputs = await watch.run(graph, makeFeeds(this.ort, graph, values));
    return splitVectors(this.read(graph, outputs, rows), batch.length);
  }
}

/** @type {ReadRows} */
const readEmbeddings = (graph, outputs, rows) => readVectors(graph, outputs, OUTPUTS, rows);
