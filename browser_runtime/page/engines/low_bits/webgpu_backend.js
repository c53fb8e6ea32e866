/**
 * The plan's operations in WGSL, float32, no feature of the adapter required. A step is one submission: operations are
 * recorded as they are called, and `read` sends them off and brings back what is wanted.
 */
import { Fault } from '../../faults.js';
import { roundUp } from '../../kernels/layout.js';
import { WebGpuBuffers } from './webgpu_buffers.js';
import { WebGpuCache } from './webgpu_cache.js';
import { MAX_PASSES, WebGpuChoices } from './webgpu_choices.js';
import { floatsOf, groupsOf, Shaders, WORKGROUP } from './webgpu_shaders.js';

/** @typedef {import('./backend.js').Backend} Backend */
/** @typedef {import('./backend.js').Matrix} Matrix */
/** @typedef {import('./backend.js').Rows} Rows */
/** @typedef {import('./backend.js').StepRow} StepRow */
/** @typedef {import('./backend.js').CacheShape} CacheShape */
/** @typedef {import('./webgpu_shaders.js').Variant} Variant */
/** @typedef {{codes: GPUBuffer, scales: GPUBuffer}} Quantized */
/** @typedef {import('./webgpu_buffers.js').Filled} Filled */

const MAX_STEP_ROWS = 256;

/** @implements {Backend} */
export class WebGpuBackend {
  name = /** @type {const} */ ('webgpu');
  #home;
  #gpu;
  #shaders;
  #buffers;
  /** @type {StepRow[]} */
  #step = [];
  #stepRows;
  #identity;
  #picks;
  #tokens;
  /** @type {WebGpuChoices | null} */
  #choice = null;
  /** @type {GPUBuffer | null} rows that stand in the place of embeddings */
  #given = null;
  /** @type {{buffer: GPUBuffer, pairs: number} | null} */
  #table = null;
  /** @type {WebGpuCache | null} */
  #cache = null;
  #maxRows = 1;

  /**
   * @param {GPUDevice} gpu
   * @param {Shaders} shaders
   * @param {WebGpuBackend | null} [home] the one with the weights beside which this one is
   */
  constructor(gpu, shaders, home = null) {
    this.#home = home;
    this.#gpu = gpu;
    this.#shaders = shaders;
    this.kernels = `low_bits webgpu ${shaders.variant.name}`;
    this.#buffers = new WebGpuBuffers(gpu);
    this.#stepRows = this.#buffers.lay(16 * MAX_STEP_ROWS);
    this.#picks = this.#buffers.lay(4 * MAX_STEP_ROWS);
    this.#tokens = this.#buffers.lay(4 * MAX_STEP_ROWS * MAX_PASSES);
    this.#identity = this.#buffers.lay(4 * MAX_STEP_ROWS);
    const indices = Uint32Array.from({ length: MAX_STEP_ROWS }, (_, index) => index);
    gpu.queue.writeBuffer(this.#identity, 0, indices);
  }

  /**
   * @param {GPUDevice} gpu
   * @param {Variant} variant
   * @param {import('./webgpu_shaders.js').LoadShader} [load]
   */
  static async open(gpu, variant, load) {
    return new WebGpuBackend(gpu, await Shaders.open(gpu, variant, load));
  }

  /** Its own bytes and the weights. @returns {number} */
  get sizeBytes() {
    return this.#buffers.sizeBytes + (this.#home?.sizeBytes ?? 0);
  }

  /** Raises OutOfMemory or PageFault for what was laid out so far. */
  async settle() {
    try {
      await this.#buffers.settle(this.sizeBytes);
    } catch (error) {
      // One of them may be what failed.
      this.#shaders.forget();
      throw error;
    }
  }

  /** @param {import('../../kernels/layout.js').MatrixLayout} layout @returns {Matrix} */
  matrix(layout) {
    return { layout, place: this.#buffers.layFilled(layout.sizeBytes) };
  }

  /** @param {number} maxRows @param {number} columns @returns {Rows} */
  rows(maxRows, columns) {
    if (maxRows > MAX_STEP_ROWS)
      throw new Fault('BadInput', 'chunk', maxRows, `at most ${MAX_STEP_ROWS} with slots`);
    this.#maxRows = Math.max(this.#maxRows, maxRows);
    const stride = roundUp(columns, 64);
    const n = maxRows * stride;
    const quantized = { codes: this.#buffers.lay(n), scales: this.#buffers.lay(n / 4) };
    return { stride, columns, floats: this.#buffers.lay(4 * n), quantized };
  }

  /** @param {CacheShape} shape */
  cache(shape) {
    this.#cache = new WebGpuCache(shape, this.#shaders, this.#buffers);
  }

  /** @param {Matrix} matrix @param {number} offset @param {Uint8Array} bytes in order */
  write(matrix, offset, bytes) {
    this.#buffers.fill(/** @type {Filled} */ (matrix.place), offset, bytes);
  }

  /** @param {Float32Array} table @param {number} pairs */
  ropeTable(table, pairs) {
    const buffer = this.#buffers.lay(table.byteLength);
    this.#gpu.queue.writeBuffer(buffer, 0, /** @type {Float32Array<ArrayBuffer>} */ (table));
    this.#table = { buffer, pairs };
  }

  /** @param {StepRow[]} rows */
  begin(rows) {
    this.#step = rows;
    const words = rows.flatMap(({ slot, position, token }) => [slot, position, token, 0]);
    this.#gpu.queue.writeBuffer(this.#stepRows, 0, Uint32Array.from(words));
  }

  /** @param {Matrix} matrix @param {Rows} out */
  embed({ layout, place }, out) {
    const { bits, tiles, columns } = layout;
    const params = [tiles, columns, layout.high / 4, layout.groups / 4, layout.rowScales / 4];
    const buffers = [bufferOf(place), this.#stepRows, floatsOf(out)];
    this.#shaders.run('embed', { BITS: bits }, params, buffers, [out.stride / WORKGROUP, this.#step.length]);
    this.#place(out);
  }

  /** Puts rows that were given over the embeddings of the tokens in whose places they stand. @param {Rows} out */
  #place(out) {
    const places = [...this.#step.keys()].filter((index) => this.#step[index]?.row);
    if (places.length === 0) return;
    const rowBytes = 4 * out.stride;
    // As large as the rows of any step: laid out once, by the first picture.
    this.#given ??= this.#buffers.lay(floatsOf(out).size);
    for (const index of places) {
      const row = /** @type {Float32Array<ArrayBuffer>} */ (this.#step[index]?.row);
      this.#gpu.queue.writeBuffer(this.#given, index * rowBytes, row, 0, out.columns);
    }
    const given = this.#given;
    this.#shaders.submit((encoder) => {
      for (const index of places) {
        const at = index * rowBytes;
        encoder.copyBufferToBuffer(given, at, floatsOf(out), at, 4 * out.columns);
      }
    });
  }

  /** @param {Rows} x @param {Matrix} weight @param {Rows} out @param {number} eps @param {number[]} [picks] */
  norm(x, weight, out, eps, picks) {
    if (picks) this.#gpu.queue.writeBuffer(this.#picks, 0, Uint32Array.from(picks));
    const rows = picks ? this.#picks : this.#identity;
    const buffers = [bufferOf(weight.place), rows, floatsOf(x), floatsOf(out)];
    const params = [x.columns, x.stride, out.stride, { float: eps }];
    this.#shaders.run('norm', {}, params, buffers, [picks?.length ?? this.#step.length]);
  }

  /** @param {Rows} x @param {Matrix} weight @param {number} heads @param {number} headDim @param {number} eps */
  headNorm(x, weight, heads, headDim, eps) {
    const n = this.#step.length;
    const params = [headDim, x.stride, heads, n, { float: eps }];
    this.#shaders.run('head_norm', {}, params, [bufferOf(weight.place), floatsOf(x)], [groupsOf(n * heads)]);
  }

  /** @param {Rows} x @param {number} n */
  quantize(x, n) {
    const count = (n * x.stride) / 32;
    const { codes, scales } = quantizedOf(x);
    this.#shaders.run('quantize', {}, [count], [floatsOf(x), codes, scales], [groupsOf(count)]);
  }

  /** @param {Matrix} matrix @param {Rows} x @param {Rows} out @param {number} n */
  matmul({ layout, place }, x, out, n) {
    const { bits, tiles, blocks } = layout;
    const tokens = n > 1 ? 4 : 1;
    const w = bufferOf(place);
    if (bits >= 16) {
      const params = [tiles, layout.rows, out.stride, n];
      const constants = { BITS: bits, TOKENS: tokens };
      const groups = [groupsOf(layout.rows), Math.ceil(n / tokens)];
      this.#shaders.run('matfloat', constants, params, [w, floatsOf(x), floatsOf(out)], groups);
      return;
    }
    const { codes, scales } = quantizedOf(x);
    const { high, groups, rowScales } = layout;
    const params = [tiles, blocks, n, out.stride / 4, high / 16, groups / 4, rowScales / 4];
    const isSplit = this.#shaders.variant.matmul === 'split';
    const inX = isSplit ? Math.min(blocks, 32768) : groupsOf(blocks);
    const dispatch = [inX, Math.ceil(n / tokens), isSplit ? Math.ceil(blocks / 32768) : 1];
    const buffers = [w, w, codes, scales, floatsOf(out)];
    this.#shaders.run(n > 1 ? 'matmul' : 'matvec', { BITS: bits }, params, buffers, dispatch);
  }

  /** @param {Rows} y @param {Matrix} bias */
  addBias(y, bias) {
    this.#elementwise('bias', bufferOf(bias.place), y);
  }

  /** @param {Rows} y @param {Rows} x */
  add(y, x) {
    this.#elementwise('add', floatsOf(x), y);
  }

  /** @param {Rows} gate @param {Rows} up */
  silu(gate, up) {
    this.#elementwise('silu', floatsOf(up), gate);
  }

  /** @param {'silu' | 'add' | 'bias'} name @param {GPUBuffer} x @param {Rows} y */
  #elementwise(name, x, y) {
    const count = (this.#step.length * y.stride) / 4;
    this.#shaders.run(name, {}, [count, y.stride / 4], [x, floatsOf(y)], [groupsOf(count)]);
  }

  /** @param {Rows} x @param {number} heads @param {number} headDim */
  rope(x, heads, headDim) {
    const { buffer, pairs } = /** @type {{buffer: GPUBuffer, pairs: number}} */ (this.#table);
    const buffers = [buffer, this.#stepRows, floatsOf(x)];
    this.#shaders.run('rope', {}, [pairs, heads, headDim, x.stride], buffers, [
      groupsOf(heads * pairs),
      this.#step.length,
    ]);
  }

  /** @param {number} layer @param {Rows} keys @param {Rows} values */
  append(layer, keys, values) {
    this.#held().append(layer, this.#asked(), keys, values);
  }

  /** @param {number} layer @param {Rows} queries @param {Rows} out */
  attend(layer, queries, out) {
    this.#held().attend(layer, this.#asked(), queries, out);
  }

  /** @param {Rows} logits @param {import('./backend.js').RowChoice[]} choices */
  prepareChoice({ columns }, choices) {
    this.#choice ??= new WebGpuChoices(this.#gpu, this.#buffers, this.#maxRows, columns);
    this.#choice.write(choices);
  }

  /** @param {Rows} logits @param {number} pass */
  choose(logits, pass) {
    const n = this.#step.length;
    const { buffers, words } = /** @type {WebGpuChoices} */ (this.#choice);
    const params = [logits.columns, logits.stride, pass * n, words];
    const all = [floatsOf(logits), this.#stepRows, this.#tokens, ...buffers];
    this.#shaders.run('choose', {}, params, all, [n]);
    this.#step = this.#step.map((row) => ({ ...row, position: row.position + 1 }));
  }

  /** @param {number} passes */
  async chosen(passes) {
    const all = await this.#buffers.readBack(this.#shaders, this.#tokens, 4 * passes * this.#step.length);
    return new Uint32Array(all);
  }

  /** @param {Rows} x @param {number} n @returns {Promise<Float32Array[]>} */
  async read(x, n) {
    const sizeBytes = 4 * Math.max(1, n) * x.stride;
    const all = new Float32Array(await this.#buffers.readBack(this.#shaders, floatsOf(x), sizeBytes));
    return Array.from({ length: n }, (_, row) => all.subarray(row * x.stride, row * x.stride + x.columns));
  }

  /** @param {number} from @param {number} to */
  copySlot(from, to) {
    this.#held().copySlot(from, to);
  }

  sibling() {
    return new WebGpuBackend(this.#gpu, this.#shaders.sibling(), this);
  }

  release() {
    this.#cache = null;
    this.#buffers.release();
    this.#shaders.release();
  }

  #asked() {
    return { buffer: this.#stepRows, rows: this.#step, maxRows: this.#maxRows };
  }

  #held() {
    if (!this.#cache) throw new Error('no cache was laid out');
    return this.#cache;
  }
}

const bufferOf = (/** @type {unknown} */ place) => /** @type {Filled} */ (place).buffer;
const quantizedOf = (/** @type {Rows} */ rows) => /** @type {Quantized} */ (rows.quantized);
