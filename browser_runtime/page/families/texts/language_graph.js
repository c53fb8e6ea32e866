/**
 * A language model as an ONNX graph with a cache: prompts take turns, one of them a step. It is stepped like
 * ../../engines/low_bits/model.js.
 */
import { Generation } from '../../engines/low_bits/generation.js';
import { Fault } from '../../faults.js';
import { makeFeeds } from '../graphs/feeds.js';
import { readFloats } from '../graphs/floats.js';
import { KvCache } from '../graphs/kv_cache.js';

/** @typedef {import('../contract.js').Graph} Graph */
/** @typedef {import('../../engines/low_bits/generation.js').Request} Request */
/** @typedef {import('../../engines/low_bits/model.js').StepEvent} StepEvent */
/** @typedef {{context: number, slots: number, weightBits: number[]}} Sizes `context`: tokens of a text, prompt included */
/** @typedef {{generation: Generation, cache: KvCache, held: number}} Text `held`: tokens that its cache holds */

// Logits come for every token of a piece: a whole prompt's would be hundreds of megabytes. Others wait for one piece.
const CHUNK = 64;
// A merged decoder's branch with a cache was traced with one token at a time.
const BRANCH = 'use_cache_branch';
// These are about one text, not about the model: the others go on.
const OWN_FAULTS = ['ModelFault', 'BadOutput'];

export class LanguageGraph {
  /** @type {Generation[]} */
  #waiting = [];
  /** @type {Text[]} the next one first */
  #running = [];

  /**
   * Raises ModelFault for a graph without a cache.
   * @param {Graph} graph
   * @param {typeof import('onnxruntime-common')} ort
   * @param {Sizes} sizes
   * @param {Graph | null} embedding makes the rows of tokens, for a graph that takes rows
   */
  constructor(graph, ort, sizes, embedding = null) {
    this.graph = graph;
    this.embedding = embedding;
    this.ort = ort;
    this.sizes = sizes;
    this.cacheInputs = graph.inputMetadata.filter(({ name }) => name.startsWith('past_key_values'));
    if (this.cacheInputs.length > 0) return;
    throw new Fault(
      'ModelFault',
      graph.model,
      'its graph takes no past_key_values: it computes each text anew',
    );
  }

  /** What a reply tells of this model. */
  get facts() {
    const { context, slots, weightBits } = this.sizes;
    const isHalf = this.cacheInputs.every((input) => input.isTensor && input.type === 'float16');
    return {
      weight_bytes: this.graph.weightBytes + (this.embedding?.weightBytes ?? 0),
      weight_bits: weightBits,
      kv_bits: isHalf ? [16, 16] : [32, 32],
      window: context,
      context,
      slots,
      // Nothing is reserved: each text's cache grows with it.
      cache_bytes: 0,
    };
  }

  /** The bytes that `tokens` take in the cache. @param {number} tokens */
  cacheBytes(tokens) {
    const sizes = this.cacheInputs.map((input) => {
      const [, heads, , width] = input.isTensor ? input.shape : [];
      return Number(heads) * Number(width) * (input.isTensor && input.type === 'float16' ? 2 : 4);
    });
    return tokens * sizes.reduce((sum, size) => sum + size, 0);
  }

  /**
   * Queues a prompt; `step` computes it. Raises BadInput.
   * @param {Request} request
   * @returns {Generation}
   */
  open(request) {
    const { context } = this.sizes;
    const length = request.tokens.length - (request.earlier ?? 0);
    if (length === 0) throw new Fault('BadInput', 'inputs', 'an empty prompt', 'at least one token');
    if (length >= context)
      throw new Fault('BadInput', 'inputs', `${length} tokens`, `at most ${context - 1} tokens`);
    const generation = new Generation(request, context);
    this.#waiting.push(generation);
    return generation;
  }

  /**
   * One step of one text, each in its turn. One that was cancelled ends before anything more is computed for it.
   * @returns {Promise<StepEvent[]>}
   */
  async step() {
    const events = this.#drop();
    while (this.#running.length < this.sizes.slots && this.#waiting.length > 0) {
      const generation = /** @type {Generation} */ (this.#waiting.shift());
      this.#running.push({ generation, cache: new KvCache(this.graph, this.ort), held: 0 });
    }
    const text = this.#running.shift();
    if (!text) return events;
    this.#running.push(text);
    const event = await this.#advance(text);
    if (text.generation.finish) {
      this.#running = this.#running.filter((other) => other !== text);
      text.cache.release();
    }
    return event ? [...events, event] : events;
  }

  /** Frees the graph and all caches. Generations that run never end. */
  async release() {
    for (const { cache } of this.#running) cache.release();
    this.#running = [];
    this.#waiting = [];
    await Promise.all([this.graph.release(), this.embedding?.release()]);
  }

  /** Ends what was cancelled, or was at its end when it came. @returns {StepEvent[]} */
  #drop() {
    const isOver = (/** @type {Generation} */ { isCancelled, finish }) => isCancelled || finish !== null;
    const ended = this.#running.filter(({ generation }) => isOver(generation));
    for (const { cache } of ended) cache.release();
    this.#running = this.#running.filter(({ generation }) => !isOver(generation));
    const never = this.#waiting.filter(isOver);
    this.#waiting = this.#waiting.filter((generation) => !isOver(generation));
    return [...ended.map(({ generation }) => generation), ...never].map((generation) => {
      generation.finish ??= 'cancelled';
      return { generation, token: null, finish: generation.finish };
    });
  }

  /**
   * The next piece of a text; null while its prompt is being read. A fault of its own ends it alone.
   * @param {Text} text
   * @returns {Promise<StepEvent | null>}
   */
  async #advance(text) {
    const { generation } = text;
    const started = performance.now();
    try {
      const logits = await this.#run(text);
      generation.spend(performance.now() - started);
      if (text.held < generation.tokens.length) return null;
      const token = generation.take(logits);
      return { generation, token, finish: generation.finish };
    } catch (error) {
      if (!(error instanceof Fault) || !OWN_FAULTS.includes(error.code)) throw error;
      generation.error = error;
      generation.finish = 'failed';
      return { generation, token: null, finish: 'failed' };
    }
  }

  /**
   * The logits after the piece; the cache then holds it too.
   * @param {Text} text
   * @returns {Promise<Float32Array>}
   */
  async #run(text) {
    const { model, inputMetadata } = this.graph;
    const { generation, cache, held } = text;
    const isWhole = inputMetadata.some(({ name }) => name === BRANCH);
    const ids = generation.tokens.slice(held, isWhole ? undefined : held + CHUNK);
    const fresh = inputMetadata.filter(({ name }) => !(name in cache.feeds));
    const values = makeValues(ids, held, fresh);
    if (this.embedding) values.inputs_embeds = await this.#embed(this.embedding, generation, ids);
    const feeds = makeFeeds(this.ort, { model, inputMetadata: fresh }, values);
    const outputs = await this.graph.run({ ...cache.feeds, ...feeds });
    text.held += ids.length;
    cache.take(outputs);
    if (!outputs.logits)
      throw new Fault('ModelFault', model, `its graph gives ${this.graph.outputNames} but no logits`);
    const logits = readFloats(outputs.logits);
    return logits.slice(logits.length - (outputs.logits.dims.at(-1) ?? 0));
  }

  /**
   * The rows [1, n, width] of a piece, those of pictures in their places. Raises ModelFault.
   * @param {Graph} embedding
   * @param {Generation} generation
   * @param {number[]} ids
   */
  async #embed(embedding, generation, ids) {
    const { model, inputMetadata } = embedding;
    const places = ids.map((id) => generation.read(id));
    const tokens = places.map(({ token }) => token);
    const found = (
      await embedding.run(makeFeeds(this.ort, { model, inputMetadata }, makeValues(tokens, 0, [])))
    ).inputs_embeds;
    const width = Number(found?.dims.at(-1));
    if (!found)
      throw new Fault('ModelFault', model, `it gives ${embedding.outputNames} but no inputs_embeds`);
    const data = Float32Array.from(readFloats(found));
    for (const [at, { row }] of places.entries()) {
      if (row && row.length !== width)
        throw new Fault(
          'ModelFault',
          model,
          `its tokens have ${width} numbers, those of images ${row.length}`,
        );
      if (row) data.set(row, at * width);
    }
    return { data, dims: [1, ids.length, width] };
  }
}

/**
 * @param {number[]} ids
 * @param {number} held tokens in the cache, before them
 * @param {readonly import('onnxruntime-common').InferenceSession.ValueMetadata[]} inputs
 * @returns {Record<string, import('../graphs/feeds.js').Values>}
 */
function makeValues(ids, held, inputs) {
  const n = ids.length;
  const kept = inputs.find(({ name }) => name === 'num_logits_to_keep');
  return {
    input_ids: { data: Int32Array.from(ids), dims: [1, n] },
    attention_mask: { data: new Int32Array(held + n).fill(1), dims: [1, held + n] },
    position_ids: { data: Int32Array.from(ids, (_, index) => held + index), dims: [1, n] },
    use_cache_branch: { data: Int32Array.of(Number(held > 0)), dims: [1] },
    num_logits_to_keep: { data: Int32Array.of(1), dims: kept?.isTensor ? kept.shape.map(() => 1) : [] },
  };
}
