/**
 * Tokens of texts -> one vector a text: encoders, and the modules of sentence-transformers that follow them.
 *
 * On WebNN every batch is padded to a static bucket; WASM and WebGPU take any shape and pad to the longest text.
 */
import { Fault } from '../faults.js';
import { runBatches } from './graphs/batches.js';
import { BATCH_SIZES, pickBucket, sequenceBuckets, splitBatches } from './graphs/buckets.js';
import { makeFeeds, readTextShape } from './graphs/feeds.js';
import { readFloats } from './graphs/floats.js';
import { cacheGraphs, GraphSource, usesStaticShapes } from './graphs/model_graphs.js';
import { PACKED_ENCODER } from './graphs/packed_encoder.js';
import { makeReady } from './graphs/ready.js';
import { NO_RECALL, nameEncoder } from './graphs/recall.js';
import { makeEmbedding } from './texts/embeddings.js';
import { PackedEmbedder } from './texts/packed_encoder.js';
import { countPositions, padTexts, readTokens } from './texts/tokens.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./texts/tokens.js').Tokens} Tokens */
/** @typedef {import('./texts/pooling.js').Hidden} Hidden */
/** @typedef {import('./texts/embeddings.js').Output} Output */

// WebGPU compiles other shaders for a length that four divides: the first [1, 12] after [1, 11] took 1170 ms, the
// second 383 (Firefox, software). Padded to fours there is one kind, and the padding cost nothing measurable.
const GPU_MULTIPLE = 4;

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<Output>>}
 */
export async function open(opening) {
  const { sample } = readSettings(opening);
  if (PACKED_ENCODER in opening.model.graphs) {
    const packed = await PackedEmbedder.open(opening, readSettings(opening));
    return makeReady(opening, packed, { item: sample, options: {} });
  }
  const source = new GraphSource(opening, 'model');
  const embedder = new TextEmbedder(
    opening,
    source,
    readTextShape(opening.model.name, await source.readShapes()),
  );
  return makeReady(opening, embedder, { item: sample, options: {} });
}

/** @param {Opening} opening */
function readSettings({ model }) {
  return /** @type {import('./contract.js').TextSettings} */ (/** @type {unknown} */ (model.settings));
}

class TextEmbedder {
  /**
   * @param {Opening} opening
   * @param {GraphSource} source
   * @param {import('./graphs/feeds.js').TextShape} shape
   */
  constructor(opening, source, shape) {
    const { modules, max_tokens, pad_id, first_position, sample, details } = readSettings(opening);
    this.ort = opening.realm.ort;
    this.isStatic = usesStaticShapes(opening);
    this.multiple =
      opening.backend === 'webgpu' && opening.options.dynamic_shapes !== true ? GPU_MULTIPLE : 1;
    this.shape = shape;
    this.limits = opening.model.limits;
    this.padId = pad_id;
    this.firstPosition = first_position;
    this.maxTokens = max_tokens;
    this.sample = readTokens(sample, 'settings.sample');
    this.lengths = sequenceBuckets(max_tokens);
    this.encoder = nameEncoder(opening, source, 'model');
    this.graphs = cacheGraphs(opening, source);
    this.modules = modules;
    this.details = details;
  }

  /**
   * @param {unknown[]} texts
   * @param {Record<string, unknown>} options `dimensions`, `normalize`
   * @param {() => boolean} isCancelled
   * @param {unknown} [_] a stream, which only generated text has
   * @param {import('./graphs/recall.js').Recall} [recall]
   */
  async run(texts, options, isCancelled, _, recall = NO_RECALL) {
    /** @type {number[][]} */
    const buckets = [];
    const before = this.graphs.openedMs;
    /** @type {import('./graphs/batches.js').Steps<Tokens, Hidden[], Output>} */
    const steps = {
      prepare: (item, index) => readTokens(item, `texts[${index}]`),
      split: (prepared) => this.split(prepared),
      compute: (batch, watch) => this.#recall(batch, watch, buckets, recall),
      finish: (hidden, row, tokens) =>
        makeEmbedding(this.modules, /** @type {Hidden} */ (hidden[row]), tokens, options),
    };
    const done = await runBatches(texts, steps, isCancelled);
    const opened_ms = this.graphs.openedMs - before;
    return { ...done, details: { ...this.describe(), bucket: buckets[0] ?? null, buckets, opened_ms } };
  }

  /** Details that matter when embeddings are compared. */
  describe() {
    return { ...this.details, static_shapes: this.isStatic };
  }

  listAccelerations() {
    return this.isStatic || this.multiple > 1 ? ['buckets'] : [];
  }

  async openGraphs() {
    return [await this.takeGraph(this.chooseBucket(1, this.sample.ids.length))];
  }

  release() {
    return this.graphs.release();
  }

  /**
   * Texts of like length together, so that little is computed on padding; of one length where the graph would read
   * padding as text.
   * @template {{value: Tokens}} Entry
   * @param {Entry[]} prepared
   * @returns {Entry[][]}
   */
  split(prepared) {
    const sorted = prepared.toSorted(byLength);
    const groups = this.shape.canPad ? [sorted] : groupByLength(sorted);
    return groups.flatMap((group) => splitBatches(group, this.maxBatch()));
  }

  maxBatch() {
    return this.shape.rows ?? (this.isStatic ? Math.max(...BATCH_SIZES) : this.limits.max_batch);
  }

  /**
   * Rows and columns for `rows` texts of at most `columns` tokens.
   * @param {number} rows
   * @param {number} columns
   * @returns {[number, number]}
   */
  chooseBucket(rows, columns) {
    return [
      this.shape.rows ?? (this.isStatic ? pickBucket(rows, BATCH_SIZES) : rows),
      this.shape.columns ?? (this.shape.canPad ? this.padLength(columns) : columns),
    ];
  }

  /** @param {number} columns */
  padLength(columns) {
    if (this.isStatic) return pickBucket(columns, this.lengths);
    return Math.min(Math.ceil(columns / this.multiple) * this.multiple, this.maxTokens);
  }

  /** @param {[number, number]} dims */
  takeGraph(dims) {
    const positions = [this.shape.positionRows ?? dims[0], dims[1]];
    const shapes = { input_ids: dims, attention_mask: dims, token_type_ids: dims };
    return this.graphs.take({ ...shapes, position_ids: positions });
  }

  /**
   * The tokens' vectors of each text.
   * @param {Tokens[]} batch
   * @param {import('./graphs/results.js').Stopwatch} watch
   * @param {number[][]} buckets where the batch's bucket is noted
   * @param {import('./graphs/recall.js').Recall} recall
   * @returns {Promise<Hidden[]>}
   */
  async #recall(batch, watch, buckets, recall) {
    const longest = Math.max(...batch.map(({ ids }) => ids.length));
    const [, columns] = this.chooseBucket(batch.length, longest);
    // Padding may cost a last bit, so texts of one padded length share results. Position ids follow from the settings.
    const common = Int32Array.of(columns, this.firstPosition, this.padId);
    const inputs = batch.map(({ ids, segments }) => [common, ids, segments ?? new Int32Array()]);
    const uses = await recall.encode(this.encoder, inputs, (missing) =>
      this.#compute(
        missing.map((at) => /** @type {Tokens} */ (batch[at])),
        longest,
        watch,
        buckets,
      ),
    );
    for (const { release } of uses) release();
    return uses.map(({ value }) => value);
  }

  /**
   * @param {Tokens[]} batch
   * @param {number} longest tokens of a text
   * @param {import('./graphs/results.js').Stopwatch} watch
   * @param {number[][]} buckets
   */
  async #compute(batch, longest, watch, buckets) {
    const dims = this.chooseBucket(batch.length, longest);
    buckets.push(dims);
    const graph = await this.takeGraph(dims);
    const outputs = await watch.run(graph, this.#feed(graph, batch, dims));
    const { data, columns, width } = readHidden(graph.model, outputs, dims);
    const size = columns * width;
    return batch.map((_, row) => ({
      value: { data: data.slice(row * size, (row + 1) * size), columns, width },
      sizeBytes: 4 * size,
    }));
  }

  /**
   * @param {import('./contract.js').Graph} graph
   * @param {Tokens[]} batch
   * @param {[number, number]} dims
   */
  #feed(graph, batch, dims) {
    const { ids, mask, segments } = padTexts(batch, dims[0], dims[1], this.padId);
    const positionRows = this.shape.positionRows ?? dims[0];
    const positions = countPositions(positionRows, dims[1], this.firstPosition);
    return makeFeeds(this.ort, graph, {
      input_ids: { data: ids, dims },
      attention_mask: { data: mask, dims },
      token_type_ids: { data: segments, dims },
      position_ids: { data: positions, dims: [positionRows, dims[1]] },
    });
  }
}

/**
 * The token vectors among the outputs. Raises ModelFault when the graph gives none.
 * @param {string} model
 * @param {import('./contract.js').Tensors} outputs
 * @param {[number, number]} dims
 * @returns {Hidden}
 */
function readHidden(model, outputs, [rows, columns]) {
  const tensor = outputs.last_hidden_state ?? outputs.token_embeddings;
  if (!tensor)
    throw new Fault('ModelFault', model, `its graph gives ${Object.keys(outputs)} but no last_hidden_state`);
  const [given, tokens, width = 0] = tensor.dims;
  if (tensor.dims.length !== 3 || given !== rows || tokens !== columns)
    throw new Fault('ModelFault', model, `its graph gives [${tensor.dims}], not a vector a token`);
  return { data: readFloats(tensor), columns, width };
}

/**
 * @param {{value: Tokens}} one
 * @param {{value: Tokens}} other
 */
function byLength(one, other) {
  return one.value.ids.length - other.value.ids.length;
}

/**
 * @template {{value: Tokens}} Entry
 * @param {Entry[]} sorted by length
 * @returns {Entry[][]} the texts of each length
 */
function groupByLength(sorted) {
  /** @type {Map<number, Entry[]>} */
  const groups = new Map();
  for (const entry of sorted) {
    const { length } = entry.value.ids;
    groups.set(length, [...(groups.get(length) ?? []), entry]);
  }
  return [...groups.values()];
}
