/**
 * Texts -> one vector each: BERT-like encoders with mean or [CLS] pooling.
 *
 * On WebNN every batch is padded to a static bucket; WASM and WebGPU take any shape and pad to the longest text.
 */
import { Fault } from '../faults.js';
import { runBatches } from './batches.js';
import { BATCH_SIZES, pickBucket, sequenceBuckets, splitBatches } from './buckets.js';
import { checkFinite, readFloats } from './floats.js';
import { fetchJson } from './model_files.js';
import { shelveGraphs, usesStaticShapes } from './model_graphs.js';
import { choosePool, normalizeLength } from './pooling.js';
import { makeReady } from './ready.js';
import { encodeText, padTexts } from './tokens.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./tokens.js').Encoded} Encoded */
/** @typedef {import('./pooling.js').Hidden} Hidden */
/** @typedef {{embedding: Float32Array, tokens: number, truncated: boolean}} Output */

// A compiled MiniLM holds ~100 MB, so not all 24 shapes are kept: four cover short and long, one and many.
const MAX_STATIC_GRAPHS = 4;
// Any batch fits a dynamic graph; beyond this, latency and memory grow and throughput no more.
const MAX_DYNAMIC_BATCH = 32;
// WebGPU compiles other shaders for a length that four divides: the first [1, 12] after [1, 11] took 1170 ms, the
// second 383 (Firefox, software). Padded to fours there is one kind, and the padding cost nothing measurable.
const GPU_MULTIPLE = 4;
// A search query or a short sentence, the commonest input: the bucket of 16 tokens.
const WARM_UP_TEXT = 'How do I reset my password?';
// Chromium's WASM tiers up within ~50 runs; on a slow software GPU the time ends it first.
const WARM_UP = { maxRuns: 60, maxMs: 3000 };

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<Output>>}
 */
export async function open(opening) {
  const embedder = new TextEmbedder(opening, await openTokenizer(opening));
  return makeReady(opening, embedder, { item: WARM_UP_TEXT, options: {}, limits: WARM_UP });
}

/** @typedef {{encode: (text: string) => number[], padId: number, maxTokens: number}} Tokenizer */

/**
 * The model's tokenizer and the most tokens that the model takes.
 * @param {Opening} opening
 * @returns {Promise<Tokenizer>}
 */
async function openTokenizer({ model, realm }) {
  const { AutoTokenizer } = realm.transformers;
  const tokenizer = await AutoTokenizer.from_pretrained(model.name, { local_files_only: true });
  const config = await fetchJson(model, 'config.json');
  const limits = [model.settings.max_tokens, config.max_position_embeddings, tokenizer.model_max_length];
  return {
    encode: (text) => tokenizer.encode(text),
    padId: tokenizer.pad_token_id ?? 0,
    maxTokens: Math.min(...limits.filter((limit) => typeof limit === 'number')),
  };
}

class TextEmbedder {
  /**
   * @param {Opening} opening
   * @param {Tokenizer} tokenizer
   */
  constructor(opening, tokenizer) {
    const { pooling = 'mean', normalize = true } = opening.model.settings;
    this.ort = opening.realm.ort;
    this.isStatic = usesStaticShapes(opening);
    this.multiple = opening.backend === 'webgpu' ? GPU_MULTIPLE : 1;
    this.tokenizer = tokenizer;
    this.lengths = sequenceBuckets(tokenizer.maxTokens);
    this.graphs = shelveGraphs(opening, MAX_STATIC_GRAPHS);
    this.pooling = pooling;
    this.pool = choosePool(pooling);
    this.normalize = normalize;
  }

  /**
   * @param {unknown[]} texts
   * @param {Record<string, unknown>} _options none yet
   * @param {() => boolean} isCancelled
   */
  async run(texts, _options, isCancelled) {
    /** @type {number[][]} */
    const buckets = [];
    const before = this.graphs.openedMs;
    const { encode, maxTokens } = this.tokenizer;
    /** @type {import('./batches.js').Steps<Encoded, Hidden, Output>} */
    const steps = {
      prepare: (text, index) => encodeText(encode, text, maxTokens, `texts[${index}]`),
      split: (encoded) => splitBatches(encoded.toSorted(byLength), this.maxBatch()),
      compute: (batch, watch) => this.#compute(batch, watch, buckets),
      finish: (hidden, row, encoded) => this.#finish(hidden, row, encoded),
    };
    const done = await runBatches(texts, steps, isCancelled);
    const opened_ms = this.graphs.openedMs - before;
    return { ...done, details: { ...this.describe(), bucket: buckets[0] ?? null, buckets, opened_ms } };
  }

  /** What a reader of the reply needs to compare embeddings. */
  describe() {
    const { pooling, normalize, tokenizer } = this;
    return { pooling, normalize, max_tokens: tokenizer.maxTokens, static_shapes: this.isStatic };
  }

  async openGraphs() {
    const { length } = this.tokenizer.encode(WARM_UP_TEXT);
    return [await this.takeGraph(this.chooseBucket(1, Math.min(length, this.tokenizer.maxTokens)))];
  }

  release() {
    return this.graphs.release();
  }

  maxBatch() {
    return this.isStatic ? Math.max(...BATCH_SIZES) : MAX_DYNAMIC_BATCH;
  }

  /**
   * Rows and columns for `rows` texts of at most `columns` tokens.
   * @param {number} rows
   * @param {number} columns
   * @returns {[number, number]}
   */
  chooseBucket(rows, columns) {
    if (!this.isStatic) return [rows, Math.ceil(columns / this.multiple) * this.multiple];
    return [pickBucket(rows, BATCH_SIZES), pickBucket(columns, this.lengths)];
  }

  /** @param {[number, number]} dims */
  takeGraph(dims) {
    return this.graphs.take({ input_ids: dims, attention_mask: dims, token_type_ids: dims });
  }

  /**
   * @param {Encoded[]} batch
   * @param {import('./results.js').Stopwatch} watch
   * @param {number[][]} buckets where the batch's bucket is noted
   * @returns {Promise<Hidden>}
   */
  async #compute(batch, watch, buckets) {
    const longest = Math.max(...batch.map(({ ids }) => ids.length));
    const dims = this.chooseBucket(batch.length, longest);
    buckets.push(dims);
    const graph = await this.takeGraph(dims);
    const outputs = await watch.run(graph, this.#feed(graph, batch, dims));
    return readHidden(outputs, dims);
  }

  /**
   * @param {import('./contract.js').Graph} graph
   * @param {Encoded[]} batch
   * @param {[number, number]} dims
   */
  #feed(graph, batch, dims) {
    const { ids, mask } = padTexts(batch, dims[0], dims[1], this.tokenizer.padId);
    const known = new Map([
      ['input_ids', ids],
      ['attention_mask', mask],
    ]);
    // One text an item, so every token belongs to the first segment.
    known.set('token_type_ids', new BigInt64Array(ids.length));
    const feeds = graph.inputNames.map((name) => {
      const data = known.get(name);
      if (!data)
        throw new Fault('Unsupported', `input ${name} of a text graph`, 'only token inputs are known');
      return [name, new this.ort.Tensor('int64', data, dims)];
    });
    return Object.fromEntries(feeds);
  }

  /**
   * @param {Hidden} hidden
   * @param {number} row
   * @param {Encoded} encoded
   * @returns {Output}
   */
  #finish(hidden, row, { ids, truncated }) {
    const pooled = this.pool(hidden, row, ids.length);
    checkFinite(pooled, 'embedding value');
    const embedding = this.normalize ? normalizeLength(pooled) : pooled;
    return { embedding, tokens: ids.length, truncated };
  }
}

/**
 * The token vectors among the outputs. Raises Unsupported when the graph gives none.
 * @param {import('./contract.js').Tensors} outputs
 * @param {[number, number]} dims
 * @returns {Hidden}
 */
function readHidden(outputs, [, columns]) {
  const tensor = outputs.last_hidden_state ?? outputs.token_embeddings;
  if (!tensor)
    throw new Fault('Unsupported', 'a graph without last_hidden_state', Object.keys(outputs).join());
  return { data: readFloats(tensor), columns, width: tensor.dims.at(-1) ?? 0 };
}

/**
 * Texts of like length share a batch, so little is computed on padding.
 * @param {{value: Encoded}} one
 * @param {{value: Encoded}} other
 */
function byLength(one, other) {
  return one.value.ids.length - other.value.ids.length;
}
