/**
 * A low-bit LLaMA that many prompts share: each step computes one token of every running one, and a piece of one
 * prompt that has just come. Prompts join and leave between steps.
 */
import { Fault } from '../../faults.js';
import { BLOCK_TOKENS } from '../../kernels/layout.js';
import { layoutCache, usedBytes } from './cache.js';
import { Generation } from './generation.js';
import { Network } from './network.js';
import { Slots } from './slots.js';

/** @typedef {import('./backend.js').StepRow} StepRow */
/** @typedef {import('./generation.js').Finish} Finish */
/** @typedef {import('./generation.js').Request} Request */
/** @typedef {import('./shards.js').FetchShard} FetchShard */
/** @typedef {import('../shared_parts.js').Lease<import('./weights.js').Weights>} WeightsLease */
/**
 * @typedef {object} ModelOptions
 * @property {string} model named in errors
 * @property {[number, number]} kv bits of keys, of values
 * @property {number} [window] newest tokens that stay exact
 * @property {number} [context] tokens of a slot, prompt included; the model's maximum, at most 2048, by default
 * @property {number} [slots] the most prompts at once
 * @property {number} [cacheBytes] the most that the cache of all of them may take; one prompt there is always
 * @property {number} [chunk] tokens of a prompt that a step computes
 * @property {(loadedBytes: number, totalBytes: number) => void} [onProgress]
 */
/** @typedef {{generation: Generation, token: number | null, finish: Finish | null}} StepEvent */
/** @typedef {{slot: Slot, generation: Generation, token: number, ms: number}} Chosen a token that nobody was told yet */
/** @typedef {import('./slots.js').Slot} Slot */

const DEFAULT_CONTEXT = 2048;
const DEFAULT_SLOTS = 4;
// A multiple of four, which products take at once; short enough that a running prompt waits little for a new one.
const DEFAULT_CHUNK = 32;
// Tokens that are read back together where a backend chooses them by itself: a stop waits for no more.
export const AHEAD = 8;

/**
 * A model on those weights, which are streamed in unless they are there. Raises ModelFault, OutOfMemory, Unsupported,
 * BadInput.
 * @param {WeightsLease} lease a use of the weights; the model's from now on
 * @param {FetchShard} fetchShard a shard's bytes in order
 * @param {ModelOptions} options
 */
export async function openModel(lease, fetchShard, options) {
  const { part: weights } = lease;
  const backend = weights.backend.sibling();
  try {
    const { architecture } = weights.manifest;
    const { max_positions: most } = architecture;
    const context = options.context ?? Math.min(most, DEFAULT_CONTEXT);
    if (!(context >= 1 && context <= most)) throw new Fault('BadInput', 'context', context, `1 to ${most}`);
    const wanted = { bits: options.kv, window: options.window, context, slots: 1 };
    const { slotBytes } = layoutCache(architecture, wanted);
    // One place more: it keeps a prefix that prompts share.
    const places = Math.floor((options.cacheBytes ?? Number.POSITIVE_INFINITY) / slotBytes);
    const slots = Math.max(1, Math.min(options.slots ?? DEFAULT_SLOTS, places - 1));
    const shape = layoutCache(architecture, { ...wanted, slots: slots + 1 });
    const chunk = options.chunk ?? DEFAULT_CHUNK;
    const network = new Network(backend, weights, shape, slots + chunk);
    await backend.settle();
    await weights.load(fetchShard, options.model, options.onProgress);
    return new LowBitsModel(network, lease, slots, chunk);
  } catch (error) {
    backend.release();
    await lease.release();
    throw error;
  }
}

export class LowBitsModel {
  #network;
  #lease;
  #slots;
  /** @type {Generation[]} */
  #waiting = [];
  /** @type {Chosen[][]} what was computed ahead, a step each */
  #ahead = [];

  /** @param {Network} network @param {WeightsLease} lease @param {number} slots @param {number} chunk */
  constructor(network, lease, slots, chunk) {
    this.#network = network;
    this.#lease = lease;
    const copy = (/** @type {number} */ from, /** @type {number} */ to) => network.backend.copySlot(from, to);
    this.#slots = new Slots(slots, chunk, network.cache, copy);
  }

  /** True while there is something to compute. */
  get busy() {
    return this.#waiting.length > 0 || this.#slots.all.some((slot) => slot.generation);
  }

  /** What a reply tells of this model. */
  get facts() {
    const { backend, cache, manifest } = this.#network;
    const tensors = [...manifest.tensors.values()].map(({ layout }) => layout);
    return {
      kernels: backend.kernels,
      weight_bytes: this.#network.weights.sizeBytes,
      weight_bits: [...new Set(tensors.filter(({ rows }) => rows > 1).map(({ bits }) => bits))].sort(
        (a, b) => a - b,
      ),
      kv_bits: [cache.keys.bits, cache.values.bits],
      window: cache.window,
      context: cache.context,
      slots: this.#slots.all.length,
      tokens_per_readback: this.#network.canChoose ? AHEAD : 1,
      cache_bytes: cache.slots * cache.slotBytes,
      memory_bytes: backend.sizeBytes,
    };
  }

  /** The true bytes that `tokens` take in the cache. @param {number} tokens */
  cacheBytes(tokens) {
    return usedBytes(this.#network.cache, tokens);
  }

  /**
   * Queues a prompt; `step` computes it. Raises BadInput.
   * @param {Request} request
   * @returns {Generation}
   */
  open(request) {
    // What an earlier run has generated may fill the context.
    this.#check(request.tokens, request.tokens.length - (request.earlier ?? 0));
    const generation = new Generation(request, this.#network.cache.context);
    this.#waiting.push(generation);
    return generation;
  }

  /** @param {number[]} tokens @param {number} n those for which there must be room, and one more */
  #check(tokens, n) {
    const { vocab } = this.#network.manifest.architecture;
    const { context } = this.#network.cache;
    if (tokens.length === 0) throw new Fault('BadInput', 'inputs', 'an empty prompt', 'at least one token');
    const unknown = tokens.find((token) => !(Number.isInteger(token) && token >= 0 && token < vocab));
    if (unknown !== undefined) throw new Fault('BadInput', 'a token', unknown, `0 to ${vocab - 1}`);
    if (n >= context) throw new Fault('BadInput', 'inputs', `${n} tokens`, `at most ${context - 1} tokens`);
  }

  /**
   * One step: what it brought, in the order of the slots. A generation that was cancelled ends here, before anything is
   * computed for it.
   * @returns {Promise<StepEvent[]>}
   */
  async step() {
    const events = this.#drop();
    if (this.#ahead.length > 0) return [...events, ...this.#tellAhead()];
    this.#slots.admit(this.#waiting);
    const { rows, owners, picks } = this.#slots.gather();
    if (rows.length === 0) return events;
    const passes = rows.length === picks.length ? this.#passes(rows) : 1;
    if (passes > 1) {
      await this.#computeAhead(rows, passes);
      return [...events, ...this.#tellAhead()];
    }
    const started = performance.now();
    const logits = await this.#network.step(rows, picks);
    const ms = performance.now() - started;
    for (const { slot, count } of owners) this.#slots.advance(slot, count, (ms * count) / rows.length);
    for (const [index, pick] of picks.entries()) {
      const slot = /** @type {Slot} */ (this.#slots.all[/** @type {StepRow} */ (rows[pick]).slot]);
      events.push(this.#emit(slot, /** @type {Float32Array} */ (logits[index])));
    }
    return events;
  }

  /**
   * The logits behind each of `tokens`, which follow the `start` tokens of a text that were scored before: how well the
   * model predicts a text. Nothing else may be running. Raises BadInput, BadRequest.
   * @param {number[]} tokens
   * @param {number} start 0 begins a new text
   * @returns {Promise<Float32Array[]>}
   */
  async score(tokens, start) {
    if (this.busy) throw new Fault('BadRequest', 'a text is scored while prompts run');
    this.#check(tokens, start + tokens.length);
    const slot = /** @type {Slot} */ (this.#slots.all[0]);
    if (start === 0) slot.tokens = [];
    if (slot.tokens.length !== start) {
      throw new Fault('BadInput', 'start', start, `0, or the ${slot.tokens.length} tokens so far`);
    }
    const found = [];
    // Logits are laid out for a row a slot.
    const most = this.#slots.all.length;
    for (let at = 0; at < tokens.length; ) {
      const position = start + at;
      const piece = tokens.slice(at, at + Math.min(most, BLOCK_TOKENS - (position % BLOCK_TOKENS)));
      const rows = piece.map((token, offset) => ({ slot: 0, position: position + offset, token }));
      found.push(...(await this.#network.step(rows, [...rows.keys()])));
      slot.tokens = slot.tokens.concat(piece);
      at += piece.length;
    }
    return found;
  }

  /** @param {StepRow} row of a slot that runs */
  #generationOf({ slot }) {
    return /** @type {Generation} */ (this.#slots.all[slot]?.generation);
  }

  /** How many tokens of each row may be computed with one reading back. @param {StepRow[]} rows */
  #passes(rows) {
    const generations = rows.map((row) => this.#generationOf(row));
    if (!this.#network.canChoose) return 1;
    // The second pass would look at the picture again.
    if (rows.some(({ row }) => row)) return 1;
    // Within a block nothing is packed or overwritten that an earlier end would miss.
    const left = rows.map(({ position }) => BLOCK_TOKENS - (position % BLOCK_TOKENS));
    return Math.min(AHEAD, ...left, ...generations.map(({ room }) => room));
  }

  /** @param {StepRow[]} rows @param {number} passes */
  async #computeAhead(rows, passes) {
    const started = performance.now();
    const choices = rows.map((row) => this.#generationOf(row).sampler.lookAhead(passes));
    const tokens = await this.#network.choose(rows, choices, passes);
    const ms = (performance.now() - started) / tokens.length;
    this.#ahead = Array.from({ length: passes }, (_, pass) =>
      rows.map(({ slot: index }, row) => {
        const slot = /** @type {Slot} */ (this.#slots.all[index]);
        const generation = /** @type {Generation} */ (slot.generation);
        return { slot, generation, token: /** @type {number} */ (tokens[pass * rows.length + row]), ms };
      }),
    );
  }

  /** The next of what was computed ahead; what ended meanwhile is dropped. @returns {StepEvent[]} */
  #tellAhead() {
    const isWanted = (/** @type {Chosen} */ { slot, generation }) => slot.generation === generation;
    const events = (this.#ahead.shift() ?? []).filter(isWanted).map(({ slot, generation, token, ms }) => {
      this.#slots.advance(slot, 1, ms);
      return this.#conclude(slot, generation.accept(token));
    });
    if (!this.#ahead.flat().some(isWanted)) this.#ahead = [];
    return events;
  }

  /** Frees its memory, and the weights where no other model has them. Generations that run never end. */
  async release() {
    this.#waiting = [];
    this.#ahead = [];
    for (const slot of this.#slots.all) slot.generation = null;
    this.#network.backend.release();
    await this.#lease.release();
  }

  /** Ends what was cancelled, or was at its end when it came. @returns {StepEvent[]} */
  #drop() {
    const isOver = (/** @type {Generation} */ { isCancelled, finish }) => isCancelled || finish !== null;
    const open = [...this.#waiting, ...this.#slots.all.flatMap(({ generation }) => generation ?? [])];
    this.#waiting = this.#waiting.filter((generation) => !isOver(generation));
    for (const slot of this.#slots.all)
      if (slot.generation && isOver(slot.generation)) slot.generation = null;
    return open.filter(isOver).map((generation) => {
      generation.finish ??= 'cancelled';
      return { generation, token: null, finish: generation.finish };
    });
  }

  /** @param {Slot} slot @param {Float32Array} logits @returns {StepEvent} */
  #emit(slot, logits) {
    const generation = /** @type {Generation} */ (slot.generation);
    return this.#conclude(slot, generation.take(logits));
  }

  /** @param {Slot} slot @param {number | null} token @returns {StepEvent} */
  #conclude(slot, token) {
    const generation = /** @type {Generation} */ (slot.generation);
    if (generation.finish) slot.generation = null;
    if (generation.finish === 'failed') slot.tokens = [];
    return { generation, token, finish: generation.finish };
  }
}
