/** Texts -> vectors by an encoder of 8-bit weights, on kernels of our own. */
import { createEncoder } from '../../engines/low_bits/encoder.js';
import { namePart, takePart } from '../../engines/parts.js';
import { Fault } from '../../faults.js';
import { runBatches } from '../graphs/batches.js';
import { fetchFile, readPieces } from '../graphs/model_files.js';
import { NO_RECALL } from '../graphs/recall.js';
import { makeEmbedding } from './embeddings.js';
import { readTokens } from './tokens.js';

/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {import('./tokens.js').Tokens} Tokens */
/** @typedef {import('./pooling.js').Hidden} Hidden */
/** @typedef {import('./embeddings.js').Output} Output */

/** The name of the graph that a model of this kind has in the place of an ONNX file. */
export const PACKED_ENCODER = 'low_bits_encoder';

export class PackedEmbedder {
  /**
   * The encoder, its weights loaded. Raises Unsupported on another backend than WASM, ModelFault, OutOfMemory.
   * @param {Opening} opening
   * @param {import('../contract.js').TextSettings} settings
   */
  static async open({ backend, model, options }, settings) {
    if (backend !== 'wasm') {
      const why = 'its kernels are there for wasm alone';
      throw new Fault('Unsupported', `an encoder of 8 bits on ${backend}`, why);
    }
    const started = performance.now();
    const files = /** @type {import('../contract.js').GraphFiles} */ (model.graphs[PACKED_ENCODER]);
    const content = options.tensor_sharing === false ? undefined : files.content;
    const fetchShard = async function* (/** @type {string} */ name) {
      yield* readPieces(await fetchFile(model, files.weights[name] ?? name));
    };
    const part = namePart(backend, content, `${settings.max_tokens} tokens`);
    const lease = await takePart(part, async () => {
      const manifest = await (await fetchFile(model, files.path)).json();
      return createEncoder(manifest, fetchShard, { model: model.name, maxTokens: settings.max_tokens });
    });
    return new PackedEmbedder(lease, settings, {
      model: model.name,
      loadMs: performance.now() - started,
      maxBatch: model.limits.max_batch,
      part,
      key: content === undefined ? null : `${backend}|${content}`,
    });
  }

  /**
   * @param {import('../../engines/parts.js').Lease<import('../../engines/low_bits/encoder.js').Encoder>} lease
   * @param {import('../contract.js').TextSettings} settings
   * @param {{model: string, loadMs: number, maxBatch: number, part: string | null, key: string | null}} opened
   */
  constructor(lease, { modules, details, sample }, { model, loadMs, maxBatch, part, key }) {
    this.lease = lease;
    this.encoder = lease.part;
    this.modules = modules;
    this.details = details;
    this.sample = sample;
    this.loadMs = loadMs;
    this.maxBatch = maxBatch;
    this.part = part;
    this.shared = { key, model, graph: PACKED_ENCODER };
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

  /** @returns {Promise<import('../contract.js').Graph[]>} the encoder, as a graph is described */
  async openGraphs() {
    const { kernels, weight_bytes: weightBytes } = this.encoder.facts;
    const told = { kernel: kernels, loadMs: this.loadMs, compileMs: 0, weightBytes, placement: null };
    const parts = { precompiled: true, part: this.part, isShared: this.lease.isShared };
    return [/** @type {import('../contract.js').Graph} */ (/** @type {unknown} */ ({ ...told, ...parts }))];
  }

  async release() {
    await this.lease.release();
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
    const uses = await recall.encode(this.shared, inputs, (missing) =>
      watch.time('compute_ms', () => this.#compute(missing.map((at) => /** @type {Tokens} */ (batch[at])))),
    );
    for (const { release } of uses) release();
    return uses.map(({ value }) => value);
  }

  /** @param {Tokens[]} batch */
  #compute(batch) {
    const { width } = this.encoder.manifest.architecture;
    return this.encoder.run(batch, this.shared.model).map((data) => ({
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
