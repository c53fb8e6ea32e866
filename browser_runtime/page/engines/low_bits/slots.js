/** The places of a model's cache: which prompt is in which, what each holds, and what a step computes of them. */
import { BLOCK_TOKENS } from '../../kernels/layout.js';
import { findPrefix } from './prefixes.js';

/** @typedef {import('./backend.js').StepRow} StepRow */
/** @typedef {import('./generation.js').Generation} Generation */
/** @typedef {{tokens: number[], generation: Generation | null, used: number}} Slot tokens in its cache; its last use */

// A prefix shorter than a block is computed as quickly as it is copied.
const MIN_PREFIX = BLOCK_TOKENS;

export class Slots {
  /** @type {Slot[]} */
  all;
  #chunk;
  #shape;
  #copy;
  /** @type {number[]} the prefix that the place behind the slots holds */
  #kept = [];
  #uses = 0;

  /**
   * @param {number} n @param {number} chunk tokens of a prompt that a step computes
   * @param {import('./backend.js').CacheShape} shape
   * @param {(from: number, to: number) => void} copy a place's cache to another place
   */
  constructor(n, chunk, shape, copy) {
    this.all = Array.from({ length: n }, () => ({ tokens: [], generation: null, used: 0 }));
    this.#chunk = chunk;
    this.#shape = shape;
    this.#copy = copy;
  }

  /** Gives free slots to those who wait, first come first served. @param {Generation[]} waiting */
  admit(waiting) {
    while (waiting.length > 0) {
      const free = this.all.filter((slot) => !slot.generation);
      if (free.length === 0) return;
      this.#start(/** @type {Generation} */ (waiting.shift()), free);
    }
  }

  /** @param {Generation} generation @param {Slot[]} free */
  #start(generation, free) {
    const held = this.all.map(({ tokens }, slot) => ({ slot, tokens }));
    const candidates = [...held, { slot: this.all.length, tokens: this.#kept }];
    const reuse = findPrefix(generation.prompt, candidates, this.#shape);
    const holder = this.all[reuse.slot];
    // What goes on from all that a place holds stays there; what only begins alike leaves it to others.
    const staysThere = holder && !holder.generation && reuse.length === holder.tokens.length;
    const oldest = /** @type {Slot} */ (free.reduce((a, b) => (b.used < a.used ? b : a)));
    const slot = staysThere ? holder : oldest;
    const reused = slot === holder || reuse.length >= MIN_PREFIX ? reuse.length : 0;
    if (reused > 0 && slot !== holder) this.#copy(reuse.slot, this.all.indexOf(slot));
    slot.generation = generation;
    slot.tokens = generation.prompt.slice(0, reused);
    generation.reused = reused;
    // Shared, but only in a state from which it cannot go on: this prompt leaves a copy on its way.
    generation.keepAt = reuse.common >= MIN_PREFIX && reuse.common > reuse.length ? reuse.common : 0;
  }

  /** The tokens of this step: one of each that runs, and a piece of the prompt that came first. */
  gather() {
    /** @type {StepRow[]} */
    const rows = [];
    const owners = [];
    const picks = [];
    const isWhole = (/** @type {Slot} */ { tokens, generation }) =>
      tokens.length >= (generation?.prompt.length ?? 0);
    const prompting = this.all.filter((slot) => slot.generation && !isWhole(slot));
    const first = prompting.reduce(
      (a, b) => (!a || (b.generation?.id ?? 0) < (a.generation?.id ?? 0) ? b : a),
      prompting[0],
    );
    for (const [index, slot] of this.all.entries()) {
      const { generation } = slot;
      if (!generation || (!isWhole(slot) && slot !== first)) continue;
      const piece = isWhole(slot) ? generation.tokens.slice(-1) : this.#piece(slot, generation);
      owners.push({ slot, count: piece.length });
      for (const [offset, token] of piece.entries()) {
        rows.push({ slot: index, position: slot.tokens.length + offset, ...generation.read(token) });
      }
      if (slot.tokens.length + piece.length >= generation.prompt.length) picks.push(rows.length - 1);
    }
    return { rows, owners, picks };
  }

  /** The next piece of a prompt: it ends at a block's end, and where its prefix is kept. @param {Slot} slot @param {Generation} generation */
  #piece({ tokens }, { prompt, keepAt }) {
    const from = tokens.length;
    const ends = [from + this.#chunk, BLOCK_TOKENS * (Math.floor(from / BLOCK_TOKENS) + 1), prompt.length];
    if (keepAt > from) ends.push(keepAt);
    return prompt.slice(from, Math.min(...ends));
  }

  /** @param {Slot} slot @param {number} count @param {number} ms its share of the step */
  advance(slot, count, ms) {
    const generation = /** @type {Generation} */ (slot.generation);
    const from = slot.tokens.length;
    slot.tokens = slot.tokens.concat(generation.tokens.slice(from, from + count));
    this.#uses += 1;
    slot.used = this.#uses;
    generation.spend(ms);
    if (generation.keepAt !== slot.tokens.length || generation.keepAt === 0) return;
    this.#copy(this.all.indexOf(slot), this.all.length);
    this.#kept = slot.tokens;
  }
}
