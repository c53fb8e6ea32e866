/**
 * The plan's operations in WebAssembly: one memory, in which nothing moves, and whose size is known before the first byte is
 * loaded. Backends beside the same weights are in one memory; it goes as a whole with the one that has the weights.
 */
import { BLOCK_TOKENS, roundUp } from '../../kernels/layout.js';
import { readRow } from '../../kernels/twins/matrices.js';
import { bindKernels, fetchKernel } from './wasm_kernels.js';
import { WasmMemory } from './wasm_memory.js';

/** @typedef {import('./backend.js').Backend} Backend */
/** @typedef {import('./backend.js').Matrix} Matrix */
/** @typedef {import('./backend.js').Rows} Rows */
/** @typedef {import('./backend.js').StepRow} StepRow */
/** @typedef {import('./backend.js').CacheShape} CacheShape */
/** @typedef {import('./backend.js').CacheSide} CacheSide */
/** @typedef {{codes: number, halves: number, scales: number}} Quantized */

// Tokens of a prompt that read keys and values together: their scores stay in the first-level cache.
const ROWS_AT_ONCE = 8;

/** @implements {Backend} */
export class WasmBackend {
  name = /** @type {const} */ ('wasm');
  #home;
  /** @type {WasmMemory} */
  #memory;
  /** @type {import('./wasm_kernels.js').Kernels} */
  #kernels = {};
  /**
   * Of all in this memory: a step of one ends before that of another begins.
   * @type {{place: number, sizeBytes: number}}
   */
  #scratch;
  /** @type {[number, number][]} places and bytes */
  #taken = [];
  /** @type {StepRow[]} */
  #step = [];
  #table = { place: 0, pairs: 0 };
  /** @type {{shape: CacheShape, place: number, scores: number} | null} */
  #cache = null;

  /**
   * @param {import('./wasm_kernels.js').Variant} variant
   * @param {WasmBackend | null} [home] the one with the weights beside which this one is
   */
  constructor(variant, home = null) {
    this.#home = home;
    this.#memory = home ? home.#memory : new WasmMemory();
    this.#scratch = home ? home.#scratch : { place: 0, sizeBytes: 0 };
    this.#kernels = home ? home.#kernels : {};
    this.variant = variant;
    this.kernels = `low_bits wasm ${variant}`;
  }

  /**
   * @param {import('./wasm_kernels.js').Variant} variant
   * @param {import('./wasm_kernels.js').LoadKernel} [load]
   */
  static async open(variant, load = fetchKernel) {
    const backend = new WasmBackend(variant);
    backend.#kernels = await bindKernels(backend.#memory.memory, variant, load);
    return backend;
  }

  get sizeBytes() {
    return this.#memory.sizeBytes;
  }

  /** Zeroed bytes that nobody else has. Raises OutOfMemory. @param {number} sizeBytes @returns {number} */
  alloc(sizeBytes) {
    const place = this.#memory.alloc(sizeBytes);
    this.#taken.push([place, sizeBytes]);
    return place;
  }

  /** @param {import('../../kernels/layout.js').MatrixLayout} layout @returns {Matrix} */
  matrix(layout) {
    this.#needScratch(640 * layout.tiles + 64);
    return { layout, place: this.alloc(layout.sizeBytes) };
  }

  /** @param {number} maxRows @param {number} columns @returns {Rows} */
  rows(maxRows, columns) {
    const stride = roundUp(columns, 64);
    const n = maxRows * stride;
    const quantized = { codes: this.alloc(n), halves: this.alloc(2 * n + n / 8), scales: this.alloc(n / 4) };
    return { stride, columns, floats: this.alloc(4 * n), quantized };
  }

  /** @param {CacheShape} shape */
  cache(shape) {
    const group = shape.heads / shape.kvHeads;
    const scores = this.alloc(ROWS_AT_ONCE * group * scoreBytes(shape));
    const columns = Math.max(BLOCK_TOKENS, shape.headDim);
    this.#needScratch(Math.max(8 * columns + group * (4 * columns + 8), 16 * shape.headDim));
    this.#cache = { shape, place: this.alloc(shape.slots * shape.slotBytes), scores };
  }

  /** @param {Matrix} matrix @param {number} offset @param {Uint8Array} bytes */
  write(matrix, offset, bytes) {
    new Uint8Array(this.#memory.buffer).set(bytes, at(matrix.place) + offset);
  }

  /** @param {Float32Array} table @param {number} pairs */
  ropeTable(table, pairs) {
    this.#table = { place: this.alloc(table.byteLength), pairs };
    this.#floats(this.#table.place, table.length).set(table);
  }

  /** @param {StepRow[]} rows */
  begin(rows) {
    this.#step = rows;
  }

  /** @param {Matrix} matrix @param {Rows} out */
  embed(matrix, out) {
    const bytes = new Uint8Array(this.#memory.buffer, at(matrix.place), matrix.layout.sizeBytes);
    for (const [index, { token, row }] of this.#step.entries()) {
      const target = this.#floats(rowAt(out, index), out.columns);
      if (row) target.set(row);
      else readRow(bytes, matrix.layout, token, target);
    }
  }

  /** @param {Rows} x @param {Matrix} weight @param {Rows} out @param {number} eps @param {number[]} [picks] */
  norm(x, weight, out, eps, picks) {
    const [w, ld] = [at(weight.place), 4 * x.stride];
    if (!picks) {
      this.#kernels.norm?.(
        at(x.floats),
        ld,
        w,
        at(out.floats),
        4 * out.stride,
        this.#step.length,
        x.columns,
        eps,
      );
      return;
    }
    for (const [index, pick] of picks.entries()) {
      this.#kernels.norm?.(rowAt(x, pick), ld, w, rowAt(out, index), ld, 1, x.columns, eps);
    }
  }

  /** @param {Rows} x @param {Matrix} weight @param {number} heads @param {number} headDim @param {number} eps */
  headNorm(x, weight, heads, headDim, eps) {
    for (const index of this.#step.keys()) {
      const row = rowAt(x, index);
      this.#kernels.norm?.(row, 4 * headDim, at(weight.place), row, 4 * headDim, heads, headDim, eps);
    }
  }

  /** @param {Rows} x @param {number} n */
  quantize(x, n) {
    const { codes, halves, scales } = quantizedOf(x);
    this.#kernels.quantize?.(at(x.floats), codes, halves, scales, (n * x.stride) / 32);
  }

  /** @param {Matrix} matrix @param {Rows} x @param {Rows} out @param {number} n */
  matmul({ layout, place }, x, out, n) {
    const w = at(place);
    const [y, ld, k] = [at(out.floats), 4 * out.stride, this.#kernels];
    const { codes, halves, scales } = quantizedOf(x);
    const { bits, blocks, tiles } = layout;
    const sections = [w, w + layout.high, w + layout.groups, w + layout.rowScales];
    if (bits >= 16) k.matfloat?.(bits, w, at(x.floats), y, ld, n, layout.rows, tiles, this.#scratch.place);
    else if (bits === 8) k.matmat8?.(w, w + layout.groups, halves, scales, y, ld, n, blocks, tiles);
    else if (n > 1)
      k.matmat?.(bits, ...sections, codes, scales, y, ld, n, blocks, tiles, this.#scratch.place);
    else if (bits === 2)
      k.matvec2?.(w, w + layout.groups, w + layout.rowScales, codes, scales, y, blocks, tiles);
    else k[`matvec${bits}`]?.(...sections, codes, scales, y, blocks, tiles);
  }

  /** @param {Rows} y @param {Matrix} bias */
  addBias(y, bias) {
    this.#kernels.add?.(at(y.floats), at(bias.place), y.stride, this.#step.length);
  }

  /** @param {Rows} y @param {Rows} x */
  add(y, x) {
    this.#kernels.add?.(at(y.floats), at(x.floats), y.stride * this.#step.length, 1);
  }

  /** @param {Rows} x @param {number} heads @param {number} headDim */
  rope(x, heads, headDim) {
    const { place, pairs } = this.#table;
    for (const [index, { position }] of this.#step.entries()) {
      this.#kernels.rope?.(rowAt(x, index), heads, headDim, place + 8 * pairs * position, pairs);
    }
  }

  /** @param {Rows} gate @param {Rows} up */
  silu(gate, up) {
    this.#kernels.silu?.(at(gate.floats), at(up.floats), at(gate.floats), gate.stride * this.#step.length);
  }

  /** @param {number} layer @param {Rows} keys @param {Rows} values */
  append(layer, keys, values) {
    const { shape } = this.#held();
    for (const [index, { slot, position }] of this.#step.entries()) {
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

  /** @param {number} layer @param {Rows} queries @param {Rows} out */
  attend(layer, queries, out) {
    const { shape } = this.#held();
    for (const { first, rows } of neighbours(this.#step)) {
      this.#kernels.clear?.(rowAt(out, first), 4 * out.stride * rows.length);
      for (let head = 0; head < shape.kvHeads; head++) {
        this.#attendHead(layer, rows, head, first, queries, out);
      }
    }
    for (const row of this.#step) {
      if ((row.position + 1) % BLOCK_TOKENS === 0) this.#pack(layer, row);
    }
  }

  /**
   * The query heads that share one head of keys and values, of tokens that follow each other in a block.
   * @param {number} layer @param {StepRow[]} rows @param {number} head @param {number} first of the rows
   * @param {Rows} queries @param {Rows} out
   */
  #attendHead(layer, rows, head, first, queries, out) {
    const { shape, scores } = this.#held();
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
    const { shape, scores } = this.#held();
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
    const { shape, scores } = this.#held();
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
    const { shape } = this.#held();
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
    const { shape } = this.#held();
    const { bits, rows, columns, group, clip, high, scales, minima, sizeBytes } = side.block;
    const source = place + 2 * shape.headDim * ((block * BLOCK_TOKENS) % side.places);
    const [rowBytes, columnBytes] = isKeys ? [2 * shape.headDim, 2] : [2, 2 * shape.headDim];
    const to = place + side.ringBytes + block * sizeBytes;
    new Uint8Array(this.#memory.buffer, to, sizeBytes).fill(0);
    const sections = [to, to + high, to + scales, to + minima];
    this.#kernels.pack?.(bits, source, rowBytes, columnBytes, rows, columns, group, ...sections, clip);
  }

  /** @param {Rows} x @param {number} n @returns {Promise<Float32Array[]>} */
  async read(x, n) {
    return Array.from({ length: n }, (_, index) => this.#floats(rowAt(x, index), x.columns).slice());
  }

  /** @param {number} from @param {number} to */
  copySlot(from, to) {
    const { shape, place } = this.#held();
    const source = place + from * shape.slotBytes;
    new Uint8Array(this.#memory.buffer).copyWithin(
      place + to * shape.slotBytes,
      source,
      source + shape.slotBytes,
    );
  }

  /** Memory is there once it was asked for. */
  async settle() {}

  sibling() {
    return new WasmBackend(this.variant, this);
  }

  /** Drops the memory, or its own part of it: nothing of this backend can be used any more. */
  release() {
    if (this.#home) for (const [place, sizeBytes] of this.#taken) this.#memory.free(place, sizeBytes);
    else this.#memory.release();
    this.#taken = [];
    this.#kernels = {};
  }

  /** @param {number} sizeBytes */
  #needScratch(sizeBytes) {
    if (sizeBytes <= this.#scratch.sizeBytes) return;
    this.#scratch.place = this.#memory.alloc(sizeBytes);
    this.#scratch.sizeBytes = sizeBytes;
  }

  #held() {
    if (!this.#cache) throw new Error('no cache was laid out');
    return this.#cache;
  }

  /** @param {number} slot @param {number} layer @param {number} head @param {'keys' | 'values'} side */
  #headAt(slot, layer, head, side) {
    const { shape, place } = this.#held();
    const both = shape.keys.headBytes + shape.values.headBytes;
    const base = place + slot * shape.slotBytes + (layer * shape.kvHeads + head) * both;
    return side === 'keys' ? base : base + shape.keys.headBytes;
  }

  /** @param {number} place @param {number} count */
  #floats(place, count) {
    return this.#memory.floats(place, count);
  }
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

const at = (/** @type {unknown} */ place) => /** @type {number} */ (place);
const rowAt = (/** @type {Rows} */ rows, /** @type {number} */ index) =>
  at(rows.floats) + 4 * rows.stride * index;
const quantizedOf = (/** @type {Rows} */ rows) => /** @type {Quantized} */ (rows.quantized);
