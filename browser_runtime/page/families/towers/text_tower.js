/**
 * Texts as tokens -> one vector each, through the graph that embeds them.
 */
import { runBatches } from '../graphs/batches.js';
import { BATCH_SIZES, pickBucket, sequenceBuckets, splitBatches } from '../graphs/buckets.js';
import { fixedSize, makeFeeds } from '../graphs/feeds.js';
import { cacheGraphs, usesStaticShapes } from '../graphs/model_graphs.js';
import { nameEncoder } from '../graphs/recall.js';
import { countPositions, padTexts } from '../texts/tokens.js';
import { joinVectors, readVector, readVectors, splitVectors } from './vectors.js';

/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {import('../texts/tokens.js').Tokens} Tokens */
/** @typedef {import('./vectors.js').Vectors} Vectors */

const OUTPUTS = ['text_embeds', 'pooler_output'];

export class TextTower {
  /**
   * @param {Opening} opening
   * @param {import('../graphs/model_graphs.js').GraphSource} source
   * @param {Record<string, import('../graphs/dimension_names.js').Shape>} shapes
   * @param {{padId: number, maxTokens: number, padsFully: boolean}} padding
   */
  constructor(opening, source, shapes, { padId, maxTokens, padsFully }) {
    this.ort = opening.realm.ort;
    this.isStatic = usesStaticShapes(opening);
    this.rows = fixedSize(shapes, 'input_ids', 0);
    this.columns = padsFully ? maxTokens : fixedSize(shapes, 'input_ids', 1);
    this.maxBatch = this.rows ?? (this.isStatic ? Math.max(...BATCH_SIZES) : opening.model.limits.max_batch);
    this.padId = padId;
    this.lengths = sequenceBuckets(maxTokens);
    this.encoder = nameEncoder(opening, source, 'text_model');
    this.graphs = cacheGraphs(opening, source);
  }

  /** @param {[number, number]} dims */
  takeGraph(dims) {
    return this.graphs.take({ input_ids: dims, attention_mask: dims, position_ids: dims });
  }

  /** @param {number} rows @param {number} longest @returns {[number, number]} */
  chooseSizes(rows, longest) {
    const columns = this.isStatic ? pickBucket(longest, this.lengths) : longest;
    return [this.rows ?? (this.isStatic ? pickBucket(rows, BATCH_SIZES) : rows), this.columns ?? columns];
  }

  /**
   * A vector for each text, or its error.
   * @param {Tokens[]} texts
   * @param {() => boolean} isCancelled
   * @param {import('../graphs/recall.js').Recall} recall
   */
  embed(texts, isCancelled, recall) {
    /** @type {import('../graphs/batches.js').Steps<Tokens, Vectors, Float32Array>} */
    const steps = {
      prepare: (item) => /** @type {Tokens} */ (item),
      split: (prepared) =>
        splitBatches(
          prepared.toSorted((one, other) => one.value.ids.length - other.value.ids.length),
          this.maxBatch,
        ),
      compute: (batch, watch) => this.#recall(batch, watch, recall),
      finish: readVector,
    };
    return runBatches(texts, steps, isCancelled);
  }

  release() {
    return this.graphs.release();
  }

  /**
   * @param {Tokens[]} batch
   * @param {import('../graphs/results.js').Stopwatch} watch
   * @param {import('../graphs/recall.js').Recall} recall
   * @returns {Promise<Vectors>}
   */
  async #recall(batch, watch, recall) {
    const longest = Math.max(...batch.map(({ ids }) => ids.length));
    const [, columns] = this.chooseSizes(batch.length, longest);
    // Padding may cost a last bit, and a graph without a mask reads it, so texts that are padded alike share results.
    const padding = Int32Array.of(columns, this.padId);
    const inputs = batch.map(({ ids }) => [padding, ids]);
    const uses = await recall.encode(this.encoder, inputs, (missing) =>
      this.#compute(
        missing.map((at) => /** @type {Tokens} */ (batch[at])),
        longest,
        watch,
      ),
    );
    return joinVectors(uses);
  }

  /**
   * Padding stands behind the text's last token, where a causal encoder does not see it.
   * @param {Tokens[]} batch
   * @param {number} longest tokens of a text
   * @param {import('../graphs/results.js').Stopwatch} watch
   */
  async #compute(batch, longest, watch) {
    const dims = this.chooseSizes(batch.length, longest);
    const graph = await this.takeGraph(dims);
    const { ids, mask } = padTexts(batch, dims[0], dims[1], this.padId);
    const positions = countPositions(dims[0], dims[1], 0);
    const feeds = makeFeeds(this.ort, graph, {
      input_ids: { data: ids, dims },
      attention_mask: { data: mask, dims },
      position_ids: { data: positions, dims },
    });
    const outputs = await watch.run(graph, feeds);
    return splitVectors(readVectors(graph, outputs, OUTPUTS, dims[0]), batch.length);
  }
}
