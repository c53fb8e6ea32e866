/** Texts -> vectors by an encoder of 8-bit weights, on kernels of our own. */
import { runBatches } from '../graphs/batches.js';
import { openPackedEncoder } from '../graphs/packed_encoder.js';
import { NO_RECALL } from '../graphs/recall.js';
import { makeEmbedding } from './embeddings.js';
import { readTokens } from './tokens.js';

/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {import('./tokens.js').Tokens} Tokens */
/** @typedef {import('./pooling.js').Hidden} Hidden */
/** @typedef {import('./embeddings.js').Output} Output */

export class PackedEmbedder {
  /**
   * The encoder, its weights loaded. Raises Unsupported on another backend than WASM, ModelFault, OutOfMemory.
   * @param {Opening} opening
   * @param {import('../contract.js').TextSettings} settings
   */
  static async open(opening, settings) {
    const packed = await openPackedEncoder(opening, settings.max_tokens);
    return new PackedEmbedder(packed, settings, opening.model.limits.max_batch);
  }

  /**
   * @param {import('../graphs/packed_encoder.js').PackedEncoder} packed
   * @param {import('../contract.js').TextSettings} settings
   * @param {number} maxBatch
   */
  constructor(packed, { modules, details, sample }, maxBatch) {
    this.packed = packed;
    this.encoder = packed.encoder;
    this.modules = modules;
    this.details = details;
    this.sample = sample;
    this.maxBatch = maxBatch;
  }

  /**
   * @param {unknown[]} texts
   * @param {Record<string, unknown>} options `dimensions`, `normalize`
   * @param {() => boolean} isCancelled
   * @param {unknown} [_] a stream, which only generated text has
   * @param {import('../graphs/recall.js').Recall} [recall]
   */
  async run(texts, options, isCancelled, _, recall = NO_RECALL) {
    /** @type {import('../graphs/batches.js').Steps<Tokens, Hidden[], Output>} */
    const steps = {
      prepare: (item, index) => readTokens(item, `texts[${index}]`),
      split: (prepared) => splitByTokens(prepared, this.maxBatch, this.encoder.maxRows),
      compute: (batch, watch) => this.#recall(batch, watch, recall),
      finish: (hidden, row, tokens) =>
        makeEmbedding(this.modules, /** @type {Hidden} */ (hidden[row]), tokens, options),
    };
    const done = await runBatches(texts, steps, isCancelled);
    return { ...done, details: this.describe() };
  }

  describe() {
    return { ...this.details, ...this.encoder.facts };
  }

  async openGraphs() {
    return [this.packed.describeGraph()];
  }

  async release() {
    await this.packed.release();
  }

  /**
   * The tokens' vectors of each text.
   * @param {Tokens[]} batch
   * @param {import('../graphs/results.js').Stopwatch} watch
   * @param {import('../graphs/recall.js').Recall} recall
   * @returns {Promise<Hidden[]>}
   */
  async #recall(batch, watch, recall) {
    const inputs = batch.map(({ ids, segments }) => [ids, segments ?? new Int32Array()]);
    const uses = await recall.encode(this.packed.shared, inputs, (missing) =>
      watch.time('compute_ms', () => this.#compute(missing.map((at) => /** @type {Tokens} */ (batch[at])))),
    );
    for (const { release } of uses) release();
    return uses.map(({ value }) => value);
  }

  /** @param {Tokens[]} batch */
  #compute(batch) {
    const { width } = this.encoder.manifest.architecture;
    return this.encoder.run(batch, this.packed.shared.model).map((data) => ({
      value: { data, columns: data.length / width, width },
      sizeBytes: data.byteLength,
    }));
  }
}

/**
 * Texts in their order, together as many as there are rows for: nothing is padded, so their lengths do not matter.
 * @template {{value: Tokens}} Entry
 * @param {Entry[]} entries
 * @param {number} most texts
 * @param {number} maxRows
 * @returns {Entry[][]}
 */
function splitByTokens(entries, most, maxRows) {
  /** @type {{entries: Entry[], rows: number}[]} */
  const batches = [];
  for (const entry of entries) {
    const { length } = entry.value.ids;
    const last = batches.at(-1);
    if (last && last.entries.length < most && last.rows + length <= maxRows) {
      last.entries.push(entry);
      last.rows += length;
    } else batches.push({ entries: [entry], rows: length });
  }
  return batches.map((batch) => batch.entries);
}
