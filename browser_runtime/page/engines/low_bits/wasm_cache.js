/** The cache of keys and values of one backend in WebAssembly's memory, and attention over it. */
import { BLOCK_TOKENS, roundUp } from '../../kernels/layout.js';

/** @typedef {import('./backend.js').Rows} Rows */
/** @typedef {import('./backend.js').StepRow} StepRow */
/** @typedef {import('./backend.js').CacheShape} CacheShape */
/** @typedef {import('./backend.js').CacheSide} CacheSide */

// Tokens of a prompt that read keys and values together: their scores stay in the first-level cache.
const ROWS_AT_ONCE = 8;

export class WasmCache {
  #shape;
  #kernels;
  #memory;
  #scratch;
  #place;
  #scores;

  /**
   * @param {CacheShape} shape
   * @param {import('./wasm_kernels.js').Kernels} kernels
   * @param {import('./wasm_memory.js').WasmMemory} memory
   * @param {{place: number}} scratch of at least `scratchBytes(shape)`; it moves when it grows
   * @param {(sizeBytes: number) => number} alloc gives bytes that go with the backend
   */
  constructor(shape, kernels, memory, scratch, alloc) {
    this.#shape = shape;
    this.#kernels = kernels;
    this.#memory = memory;
    this.#scratch = scratch;
    this.#scores = alloc(ROWS_AT_ONCE * (shape.heads / shape.kvHeads) * scoreBytes(shape));
    this.#place = alloc(shape.slots * shape.slotBytes);
  }

  /** @param {number} layer @param {StepRow[]} step @param {Rows} keys @param {Rows} values */
  append(layer, step, keys, values) {
    const shape = this.#shape;
    for (const [index, { slot, position }] of step.entries()) {
      for (let head = 0; head < shape.kvHeads; head++) {
        for (const [side, rows] of /** @type {const} */ ([
          ['keys', keys],
          ['values', values],
        ])) {
          const place = position % shape[side].places;
          const ring = this.#headAt(slot, layer, head, side) + 2 * shape.headDim * place;
          this.#kernels.append?.(rowAt(rows, index) + 4 * shape.headDim * head, ring, shape.headDim);
        }
      }
    }
  }

  /** @param {number} layer @param {StepRow[]} step @param {Rows} queries @param {Rows} out */
  attend(layer, step, queries, out) {
    const shape = this.#shape;
    for (const { first, rows } of neighbours(step)) {
      this.#kernels.clear?.(rowAt(out, first), 4 * out.stride * rows.length);
      for (let head = 0; head < shape.kvHeads; head++) {
        this.#attendHead(layer, rows, head, first, queries, out);
      }
    }
    for (const row of step) {
      if ((row.position + 1) % BLOCK_TOKENS === 0) this.#pack(layer, row);
    }
  }

  /**
   * The query heads that share one head of keys and values, of tokens that follow each other in a block.
   * @param {number} layer @param {StepRow[]} rows @param {number} head @param {number} first of the rows
   * @param {Rows} queries @param {Rows} out
   */
  #attendHead(layer, rows, head, first, queries, out) {
    const [shape, scores] = [this.#shape, this.#scores];
    const n = shape.heads / shape.kvHeads;
    const ld = scoreBytes(shape);
    const { slot, position: last } = /** @type {StepRow} */ (rows.at(-1));
    const offset = 4 * shape.headDim * n * head;
    const [q, y] = [rowAt(queries, first) + offset, rowAt(out, first) + offset];
    const [keys, values] = [
      this.#headAt(slot, layer, head, 'keys'),
      this.#headAt(slot, layer, head, 'values'),
    ];
    this.#scoreKeys(keys, q, 4 * queries.stride, rows.length, last);
    const [factor, padded] = [1 / Math.sqrt(shape.headDim), roundUp(last + 1, 4)];
    for (const [index, { position }] of rows.entries())
      this.#kernels.softmax?.(scores + index * n * ld, ld, position + 1, n, factor, padded);
    this.#sumValues(values, y, 4 * out.stride, rows.length, last);
  }

  /** @param {number} place @param {number} q @param {number} ldq @param {number} rows @param {number} position */
  #scoreKeys(place, q, ldq, rows, position) {
    const [shape, scores] = [this.#shape, this.#scores];
    const scratch = this.#scratch.place;
    const { keys, headDim } = shape;
    const [n, ld] = [shape.heads / shape.kvHeads, scoreBytes(shape)];
    const packed = packedAt(shape, keys, position);
    if (packed > 0) {
      for (let h = 0; h < rows * n; h++) this.#kernels.clear?.(scores + h * ld, 4 * packed);
      const { bits, rows: tokens, columns, group, high, scales, minima, sizeBytes } = keys.block;
      const blocks = [place + keys.ringBytes, packed / BLOCK_TOKENS, sizeBytes, tokens, columns, group];
      const sizes = [high, scales, minima];
      for (let row = 0; row < rows; row++) {
        const to = scores + row * n * ld;
        this.#kernels.packed?.(
          bits,
          ...blocks,
          ...sizes,
          n,
          q + row * ldq,
          4 * headDim,
          0,
          to,
          ld,
          256,
          scratch,
        );
      }
    }
    for (const { first, count, token } of runs(keys.places, packed, position)) {
      const k = place + 2 * headDim * first;
      this.#kernels.ring_scores?.(k, count, q, ldq, rows, n, headDim, scores + 4 * token, ld, scratch);
    }
  }

  /** @param {number} place @param {number} y @param {number} ldy @param {number} rows @param {number} position */
  #sumValues(place, y, ldy, rows, position) {
    const [shape, scores] = [this.#shape, this.#scores];
    const scratch = this.#scratch.place;
    const { values, headDim } = shape;
    const [n, ld] = [shape.heads / shape.kvHeads, scoreBytes(shape)];
    const packed = packedAt(shape, values, position);
    if (packed > 0) {
      const { bits, rows: channels, columns, group, high, scales, minima, sizeBytes } = values.block;
      const blocks = [place + values.ringBytes, packed / BLOCK_TOKENS, sizeBytes, channels, columns, group];
      const sizes = [high, scales, minima];
      for (let row = 0; row < rows; row++) {
        const from = scores + row * n * ld;
        this.#kernels.packed?.(
          bits,
          ...blocks,
          ...sizes,
          n,
          from,
          ld,
          256,
          y + row * ldy,
          4 * headDim,
          0,
          scratch,
        );
      }
    }
    for (const { first, count, token } of runs(values.places, packed, position)) {
      const v = place + 2 * headDim * first;
      this.#kernels.ring_values?.(v, count, scores + 4 * token, ld, y, ldy, rows, n, headDim, scratch);
    }
  }

  /** Packs the block that leaves the window after `position`. @param {number} layer @param {StepRow} row */
  #pack(layer, { slot, position }) {
    const shape = this.#shape;
    const block = (position + 1 - shape.window) / BLOCK_TOKENS - 1;
    if (block < 0) return;
    for (let head = 0; head < shape.kvHeads; head++) {
      this.#packSide(this.#headAt(slot, layer, head, 'keys'), shape.keys, block, true);
      this.#packSide(this.#headAt(slot, layer, head, 'values'), shape.values, block, false);
    }
  }

  /** @param {number} place @param {CacheSide} side @param {number} block @param {boolean} isKeys */
  #packSide(place, side, block, isKeys) {
    if (side.bits === 16) return;
    const shape = this.#shape;
    const { bits, rows, columns, group, clip, high, scales, minima, sizeBytes } = side.block;
    const source = place + 2 * shape.headDim * ((block * BLOCK_TOKENS) % side.places);
    const [rowBytes, columnBytes] = isKeys ? [2 * shape.headDim, 2] : [2, 2 * shape.headDim];
    const to = place + side.ringBytes + block * sizeBytes;
    new Uint8Array(this.#memory.buffer, to, sizeBytes).fill(0);
    const sections = [to, to + high, to + scales, to + minima];
    this.#kernels.pack?.(bits, source, rowBytes, columnBytes, rows, columns, group, ...sections, clip);
  }

  /** @param {number} from @param {number} to */
  copySlot(from, to) {
    const [shape, place] = [this.#shape, this.#place];
    const source = place + from * shape.slotBytes;
    new Uint8Array(this.#memory.buffer).copyWithin(
      place + to * shape.slotBytes,
      source,
      source + shape.slotBytes,
    );
  }

  /** @param {number} slot @param {number} layer @param {number} head @param {'keys' | 'values'} side */
  #headAt(slot, layer, head, side) {
    const [shape, place] = [this.#shape, this.#place];
    const both = shape.keys.headBytes + shape.values.headBytes;
    const base = place + slot * shape.slotBytes + (layer * shape.kvHeads + head) * both;
    return side === 'keys' ? base : base + shape.keys.headBytes;
  }
}

/** Bytes that attention works in. @param {CacheShape} shape */
export function scratchBytes({ heads, kvHeads, headDim }) {
  const columns = Math.max(BLOCK_TOKENS, headDim);
  return Math.max(8 * columns + (heads / kvHeads) * (4 * columns + 8), 16 * headDim);
}

/** Bytes from head to head of scores; no power of two, whose places would push each other out of the cache. */
const scoreBytes = (/** @type {CacheShape} */ { context }) => 4 * roundUp(context, 64) + 64;

/**
 * The rows of a step in pieces that one reading of keys and values serves: tokens of one slot and one block, which share
 * what is packed.
 * @param {StepRow[]} step
 */
function neighbours(step) {
  /** @type {{first: number, rows: StepRow[]}[]} */
  const pieces = [];
  for (const [index, row] of step.entries()) {
    const piece = pieces.at(-1);
    const before = piece?.rows.at(-1);
    const isNext = before?.slot === row.slot && before.position + 1 === row.position;
    const isFull = piece?.rows.length === ROWS_AT_ONCE || row.position % BLOCK_TOKENS === 0;
    if (piece && isNext && !isFull) piece.rows.push(row);
    else pieces.push({ first: index, rows: [row] });
  }
  return pieces;
}

/** The tokens that are packed when `position` is computed: none of a side of 16 bits. */
const packedAt = (
  /** @type {CacheShape} */ { window },
  /** @type {CacheSide} */ side,
  /** @type {number} */ position,
) => (side.bits === 16 ? 0 : Math.max(0, BLOCK_TOKENS * Math.floor(position / BLOCK_TOKENS) - window));

/**
 * The exact tokens `from .. position` as runs of the ring: first place, count, first token.
 * @param {number} places @param {number} from @param {number} position
 */
function runs(places, from, position) {
  const first = from % places;
  const total = position - from + 1;
  const count = Math.min(total, places - first);
  const run = { first, count, token: from };
  return count === total ? [run] : [run, { first: 0, count: total - count, token: from + count }];
}

export const at = (/** @type {unknown} */ place) => /** @type {number} */ (place);
export const rowAt = (/** @type {Rows} */ rows, /** @type {number} */ index) =>
  at(rows.floats) + 4 * rows.stride * index;
