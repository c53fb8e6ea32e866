/**
 * Sounds -> one vector each, through the graph that embeds them.
 */
import { runBatches } from '../graphs/batches.js';
import { BATCH_SIZES, pickBucket, splitBatches } from '../graphs/buckets.js';
import { checkSizes, fixedSize, makeFeeds } from '../graphs/feeds.js';
import { cacheGraphs, usesStaticShapes } from '../graphs/model_graphs.js';
import { nameEncoder } from '../graphs/recall.js';
import { fillWindow } from '../sounds/decibels.js';
import { FrontEnds, Hearing, holdFeatures, openFrontEnds } from '../sounds/front_ends.js';
import { readSamples } from '../sounds/samples.js';
import { joinVectors, readVector, readVectors, splitVectors } from './vectors.js';

/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {import('./vectors.js').Vectors} Vectors */

const OUTPUTS = ['audio_embeds'];

export class SoundTower {
  /**
   * @param {Opening} opening
   * @param {import('../graphs/model_graphs.js').GraphSource} source
   * @param {Record<string, import('../graphs/dimension_names.js').Shape>} shapes
   * @param {import('../sounds/decibels.js').DecibelExtractor} extractor
   */
  constructor(opening, source, shapes, extractor) {
    const { nb_max_frames: frames, feature_size: mels } = extractor.plan;
    this.picture = [1, frames, mels];
    checkSizes(opening.model.name, 'input_features', shapes.input_features, [-1, ...this.picture]);
    this.extractor = extractor;
    this.rows = fixedSize(shapes, 'input_features', 0);
    this.ort = opening.realm.ort;
    this.isStatic = usesStaticShapes(opening);
    this.maxBatch = this.rows ?? opening.model.limits.max_batch;
    this.encoder = nameEncoder(opening, source, 'audio_model');
    this.graphs = cacheGraphs(opening, source);
    this.frontEnds = new FrontEnds(null);
  }

  /** Opens the shader beside the extractor, where there may be one. @param {Opening} opening */
  async openFrontEnds(opening) {
    const { extractor } = this;
    const graph = await this.takeGraph();
    this.frontEnds = await openFrontEnds(opening, graph, extractor.shaderPlan, {
      extract: (samples) => extractor.compute(samples),
      fill: (samples) => fillWindow(samples, extractor.plan),
      rate: extractor.plan.sampling_rate,
    });
  }

  /** @param {number} rows */
  takeGraph(rows = this.rows ?? 1) {
    return this.graphs.take({ input_features: [rows, ...this.picture] });
  }

  /**
   * A vector for each sound, or its error.
   * @param {{array: unknown, field: string}[]} items
   * @param {() => boolean} isCancelled
   * @param {import('../graphs/recall.js').Recall} recall
   * @param {{compute_shaders?: boolean | null}} [choices]
   */
  async embed(items, isCancelled, recall, { compute_shaders: wanted } = {}) {
    const hearing = new Hearing(this.frontEnds, wanted);
    /** @type {import('../graphs/batches.js').Steps<Float32Array, Vectors, Float32Array>} */
    const steps = {
      prepare: (item) => {
        const { array, field } = /** @type {{array: unknown, field: string}} */ (item);
        return readSamples(array, field);
      },
      split: (prepared) => splitBatches(prepared, this.maxBatch),
      compute: (batch, watch) => this.#recall(batch, watch, recall, hearing),
      finish: readVector,
    };
    return { ...(await runBatches(items, steps, isCancelled)), ...hearing.report() };
  }

  release() {
    this.frontEnds.release();
    return this.graphs.release();
  }

  /**
   * @param {Float32Array[]} batch samples of each sound
   * @param {import('../graphs/results.js').Stopwatch} watch
   * @param {import('../graphs/recall.js').Recall} recall
   * @param {Hearing} hearing
   * @returns {Promise<Vectors>}
   */
  async #recall(batch, watch, recall, hearing) {
    const shader = hearing.takeShader(Math.max(...batch.map(({ length }) => length)));
    if (shader) {
      // As the shader hears them: models fill a short sound's window in ways of their own.
      const windows = batch.map((samples) => fillWindow(samples, this.extractor.plan));
      const inputs = windows.map((window) => [window, ...this.frontEnds.signature]);
      const uses = await recall.encode(this.encoder, inputs, (missing) => {
        const heard = missing.map((at) => /** @type {Float32Array} */ (windows[at]));
        return this.#computeOnDevice(heard, shader, watch, hearing);
      });
      return joinVectors(uses);
    }
    const features = await watch.time('preprocess_ms', () => this.#extract(batch));
    const inputs = features.map((each) => [each]);
    const uses = await recall.encode(this.encoder, inputs, (missing) =>
      this.#compute(
        missing.map((at) => /** @type {Float32Array} */ (features[at])),
        watch,
      ),
    );
    return joinVectors(uses);
  }

  /** @param {Float32Array[]} batch samples of each sound */
  async #extract(batch) {
    const features = [];
    for (const samples of batch) features.push(await this.extractor.compute(samples));
    return features;
  }

  /**
   * The same of features that are made where the graph is.
   * @param {Float32Array[]} windows of each sound
   * @param {import('../../engines/log_mel.js').LogMel} shader
   * @param {import('../graphs/results.js').Stopwatch} watch
   * @param {Hearing} hearing
   */
  async #computeOnDevice(windows, shader, watch, hearing) {
    const rows = this.#countRows(windows.length);
    const graph = await this.takeGraph(rows);
    const features = await watch.time('preprocess_ms', () => shader.compute(windows, rows));
    hearing.note();
    const feeds = { input_features: holdFeatures(this.ort, features, [rows, ...this.picture]) };
    const outputs = await watch.run(graph, feeds);
    return splitVectors(readVectors(graph, outputs, OUTPUTS, rows), windows.length);
  }

  /** @param {number} count sounds */
  #countRows(count) {
    return this.rows ?? (this.isStatic ? pickBucket(count, BATCH_SIZES) : count);
  }

  /**
   * @param {Float32Array[]} batch features of each sound
   * @param {import('../graphs/results.js').Stopwatch} watch
   */
  async #compute(batch, watch) {
    const rows = this.#countRows(batch.length);
    const graph = await this.takeGraph(rows);
    const dims = [rows, ...this.picture];
    const data = new Float32Array(dims.reduce((product, size) => product * size, 1));
    for (const [row, features] of batch.entries()) data.set(features, row * features.length);
    const outputs = await watch.run(graph, makeFeeds(this.ort, graph, { input_features: { data, dims } }));
    return splitVectors(readVectors(graph, outputs, OUTPUTS, rows), batch.length);
  }
}
