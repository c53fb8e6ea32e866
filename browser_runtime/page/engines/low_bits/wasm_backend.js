/**
 * The plan's operations in WebAssembly: one memory, in which nothing moves, and whose size is known before the first byte is
 * loaded. Backends beside the same weights are in one memory; it goes as a whole with the one that has the weights.
 */
import { roundUp } from '../../kernels/layout.js';
import { readRow } from '../../kernels/twins/matrices.js';
import { at, rowAt, scratchBytes, WasmCache } from './wasm_cache.js';
import { bindKernels, fetchKernel } from './wasm_kernels.js';
import { WasmMemory } from './wasm_memory.js';

/** @typedef {import('./backend.js').Backend} Backend */
/** @typedef {import('./backend.js').Matrix} Matrix */
/** @typedef {import('./backend.js').Rows} Rows */
/** @typedef {import('./backend.js').StepRow} StepRow */
/** @typedef {import('./backend.js').CacheShape} CacheShape */
/** @typedef {{codes: number, halves: number, scales: number}} Quantized */

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
  /** @type {WasmCache | null} */
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
    const alloc = (/** @type {number} */ sizeBytes) => this.alloc(sizeBytes);
    this.#needScratch(scratchBytes(shape));
    this.#cache = new WasmCache(shape, this.#kernels, this.#memory, this.#scratch, alloc);
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
    this.#held().append(layer, this.#step, keys, values);
  }

  /** @param {number} layer @param {Rows} queries @param {Rows} out */
  attend(layer, queries, out) {
    this.#held().attend(layer, this.#step, queries, out);
  }

  /** @param {Rows} x @param {number} n @returns {Promise<Float32Array[]>} */
  async read(x, n) {
    return Array.from({ length: n }, (_, index) => this.#floats(rowAt(x, index), x.columns).slice());
  }

  /** @param {number} from @param {number} to */
  copySlot(from, to) {
    this.#held().copySlot(from, to);
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
    this.#cache = null;
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

  /** @param {number} place @param {number} count */
  #floats(place, count) {
    return this.#memory.floats(place, count);
  }
}

const quantizedOf = (/** @type {Rows} */ rows) => /** @type {Quantized} */ (rows.quantized);
