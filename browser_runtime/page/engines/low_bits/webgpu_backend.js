/**
 * The plan's operations in WGSL, float32, no feature of the adapter required. A step is one submission: operations are
 * recorded as they are called, and `read` sends them off and brings back what is wanted.
 */
import { Fault } from '../../faults.js';
import { BLOCK_TOKENS, roundUp } from '../../kernels/layout.js';
import { awaitGpu } from '../devices.js';
import { packChances, packSamplings, packSeen, SAMPLING_BYTES } from './row_choices.js';
import { Shaders } from './webgpu_shaders.js';

/** @typedef {import('./backend.js').Backend} Backend */
/** @typedef {import('./backend.js').Matrix} Matrix */
/** @typedef {import('./backend.js').Rows} Rows */
/** @typedef {import('./backend.js').StepRow} StepRow */
/** @typedef {import('./backend.js').CacheShape} CacheShape */
/** @typedef {import('./backend.js').CacheSide} CacheSide */
/** @typedef {import('./webgpu_shaders.js').Variant} Variant */
/** @typedef {{codes: GPUBuffer, scales: GPUBuffer}} Quantized */
/** @typedef {{samplings: GPUBuffer, chances: GPUBuffer, seen: GPUBuffer}} Choice */
/** @typedef {{buffer: GPUBuffer, tail: Uint8Array}} Filled a matrix, and bytes that do not make a word yet */

const MAX_STEP_ROWS = 256;
const WORKGROUP = 64;
const MAX_PASSES = 8;

/** @implements {Backend} */
export class WebGpuBackend {
  name = /** @type {const} */ ('webgpu');
  #ownBytes = 0;
  /** Its two error scopes are on the device's stack, which others of the lane push theirs onto. */
  #isWatching = true;
  #home;
  #gpu;
  #shaders;
  /** @type {GPUBuffer[]} */
  #buffers = [];
  /** @type {StepRow[]} */
  #step = [];
  #stepRows;
  #identity;
  #picks;
  #tokens;
  /** @type {Choice | null} how tokens are chosen */
  #choice = null;
  /** @type {GPUBuffer | null} rows that stand in the place of embeddings */
  #given = null;
  /** @type {GPUBuffer | null} */
  #staging = null;
  /** @type {{buffer: GPUBuffer, pairs: number} | null} */
  #table = null;
  /** @type {{shape: CacheShape, layers: GPUBuffer[], spare: GPUBuffer, scores: GPUBuffer | null} | null} */
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
    gpu.pushErrorScope('out-of-memory');
    gpu.pushErrorScope('validation');
    this.#stepRows = this.#buffer(16 * MAX_STEP_ROWS);
    this.#picks = this.#buffer(4 * MAX_STEP_ROWS);
    this.#tokens = this.#buffer(4 * MAX_STEP_ROWS * MAX_PASSES);
    this.#identity = this.#buffer(4 * MAX_STEP_ROWS);
    gpu.queue.writeBuffer(
      this.#identity,
      0,
      Uint32Array.from({ length: MAX_STEP_ROWS }, (_, index) => index),
    );
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
    return this.#ownBytes + (this.#home?.sizeBytes ?? 0);
  }

  /** Raises OutOfMemory or PageFault for what was laid out so far. */
  async settle() {
    const [wrong, memory] = await awaitGpu(this.#gpu, this.#takeErrors());
    if (memory)
      throw new Fault('OutOfMemory', `WebGPU gives no ${megabytes(this.sizeBytes)}: ${memory.message}`);
    if (wrong) throw new Fault('PageFault', wrong.message);
  }

  /**
   * What its scopes caught, validation first; they are off the stack then. Nothing a second time.
   * @returns {Promise<(GPUError | null)[]>}
   */
  async #takeErrors() {
    if (!this.#isWatching) return [];
    this.#isWatching = false;
    return Promise.all([this.#gpu.popErrorScope(), this.#gpu.popErrorScope()]);
  }

  /** @param {import('../../kernels/layout.js').MatrixLayout} layout @returns {Matrix} */
  matrix(layout) {
    return { layout, place: { buffer: this.#buffer(layout.sizeBytes), tail: new Uint8Array() } };
  }

  /** @param {number} maxRows @param {number} columns @returns {Rows} */
  rows(maxRows, columns) {
    if (maxRows > MAX_STEP_ROWS)
      throw new Fault('BadInput', 'chunk', maxRows, `at most ${MAX_STEP_ROWS} with slots`);
    this.#maxRows = Math.max(this.#maxRows, maxRows);
    const stride = roundUp(columns, 64);
    const n = maxRows * stride;
    const quantized = { codes: this.#buffer(n), scales: this.#buffer(n / 4) };
    return { stride, columns, floats: this.#buffer(4 * n), quantized };
  }

  /** @param {CacheShape} shape */
  cache(shape) {
    const layerBytes = (shape.slots * shape.slotBytes) / shape.layers;
    const layers = Array.from({ length: shape.layers }, () => this.#buffer(layerBytes));
    this.#cache = { shape, layers, spare: this.#buffer(shape.slotBytes / shape.layers), scores: null };
  }

  /** @param {Matrix} matrix @param {number} offset @param {Uint8Array} bytes in order: only whole words can be sent */
  write(matrix, offset, bytes) {
    const filled = /** @type {Filled} */ (matrix.place);
    const from = offset - filled.tail.length;
    const all = new Uint8Array(filled.tail.length + bytes.length);
    all.set(filled.tail);
    all.set(bytes, filled.tail.length);
    const whole = all.length & ~3;
    this.#gpu.queue.writeBuffer(filled.buffer, from, all, 0, whole);
    filled.tail = all.slice(whole);
  }

  /** @param {Float32Array} table @param {number} pairs */
  ropeTable(table, pairs) {
    const buffer = this.#buffer(table.byteLength);
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
    this.#run('embed', { BITS: bits }, params, buffers, [out.stride / WORKGROUP, this.#step.length]);
    this.#place(out);
  }

  /** Puts rows that were given over the embeddings of the tokens in whose places they stand. @param {Rows} out */
  #place(out) {
    const places = [...this.#step.keys()].filter((index) => this.#step[index]?.row);
    if (places.length === 0) return;
    const rowBytes = 4 * out.stride;
    // As large as the rows of any step: laid out once, by the first picture.
    this.#given ??= this.#buffer(floatsOf(out).size);
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
    const buffers = [
      bufferOf(weight.place),
      picks ? this.#picks : this.#identity,
      floatsOf(x),
      floatsOf(out),
    ];
    const params = [x.columns, x.stride, out.stride, { float: eps }];
    this.#run('norm', {}, params, buffers, [picks?.length ?? this.#step.length]);
  }

  /** @param {Rows} x @param {Matrix} weight @param {number} heads @param {number} headDim @param {number} eps */
  headNorm(x, weight, heads, headDim, eps) {
    const n = this.#step.length;
    const params = [headDim, x.stride, heads, n, { float: eps }];
    this.#run('head_norm', {}, params, [bufferOf(weight.place), floatsOf(x)], [groupsOf(n * heads)]);
  }

  /** @param {Rows} x @param {number} n */
  quantize(x, n) {
    const count = (n * x.stride) / 32;
    const { codes, scales } = quantizedOf(x);
    this.#run('quantize', {}, [count], [floatsOf(x), codes, scales], [groupsOf(count)]);
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
      this.#run('matfloat', constants, params, [w, floatsOf(x), floatsOf(out)], groups);
      return;
    }
    const { codes, scales } = quantizedOf(x);
    const { high, groups, rowScales } = layout;
    const params = [tiles, blocks, n, out.stride / 4, high / 16, groups / 4, rowScales / 4];
    const isSplit = this.#shaders.variant.matmul === 'split';
    const inX = isSplit ? Math.min(blocks, 32768) : groupsOf(blocks);
    const dispatch = [inX, Math.ceil(n / tokens), isSplit ? Math.ceil(blocks / 32768) : 1];
    this.#run(
      n > 1 ? 'matmul' : 'matvec',
      { BITS: bits },
      params,
      [w, w, codes, scales, floatsOf(out)],
      dispatch,
    );
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
    this.#run(name, {}, [count, y.stride / 4], [x, floatsOf(y)], [groupsOf(count)]);
  }

  /** @param {Rows} x @param {number} heads @param {number} headDim */
  rope(x, heads, headDim) {
    const { buffer, pairs } = /** @type {{buffer: GPUBuffer, pairs: number}} */ (this.#table);
    const buffers = [buffer, this.#stepRows, floatsOf(x)];
    this.#run('rope', {}, [pairs, heads, headDim, x.stride], buffers, [
      groupsOf(heads * pairs),
      this.#step.length,
    ]);
  }

  /** @param {number} layer @param {Rows} keys @param {Rows} values */
  append(layer, keys, values) {
    this.#appendSide(layer, 'keys', keys);
    this.#appendSide(layer, 'values', values);
  }

  /** @param {number} layer @param {'keys' | 'values'} name @param {Rows} x */
  #appendSide(layer, name, x) {
    const { shape } = this.#held();
    const count = (shape.kvHeads * shape.headDim) / 2;
    const { slotWords, headWords, first } = words(shape, name);
    const params = [count, x.stride, shape.headDim, shape[name].places, slotWords, headWords, first];
    const buffers = [this.#stepRows, floatsOf(x), this.#layer(layer)];
    this.#run('append', {}, params, buffers, [groupsOf(count), this.#step.length]);
  }

  /** @param {number} layer @param {Rows} queries @param {Rows} out */
  attend(layer, queries, out) {
    const held = this.#held();
    const { heads, kvHeads, headDim, window, keys, values } = held.shape;
    const context = roundUp(held.shape.context, 64);
    held.scores ??= this.#buffer(4 * this.#maxRows * heads * context);
    const { slotWords, headWords } = words(held.shape, 'keys');
    const sides = [...sideParams(held.shape, 'keys'), ...sideParams(held.shape, 'values')];
    const params = [
      heads,
      heads / kvHeads,
      headDim,
      queries.stride,
      slotWords,
      headWords,
      window,
      context,
      ...sides,
    ];
    const buffers = [this.#stepRows, floatsOf(queries), this.#layer(layer), held.scores, floatsOf(out)];
    const constants = { K_BITS: keys.bits, V_BITS: values.bits };
    this.#run('attend', constants, params, buffers, [heads, this.#step.length]);
    for (const row of this.#step) if ((row.position + 1) % BLOCK_TOKENS === 0) this.#pack(layer, row);
  }

  /** Packs the block that leaves the window after `position`. @param {number} layer @param {StepRow} row */
  #pack(layer, { slot, position }) {
    const { shape } = this.#held();
    const block = (position + 1 - shape.window) / BLOCK_TOKENS - 1;
    if (block < 0) return;
    for (const name of /** @type {const} */ (['keys', 'values'])) {
      const side = shape[name];
      if (side.bits === 16) continue;
      const { rows, columns, group, clip, high, scales, minima, sizeBytes } = side.block;
      const { slotWords, headWords, first } = words(shape, name);
      const source = (((block * BLOCK_TOKENS) % side.places) * shape.headDim) / 2;
      const target = (side.ringBytes + block * sizeBytes) / 4;
      const shared = [rows, columns, group, Number(name === 'keys'), headWords, slot * slotWords + first];
      const params = [...shared, source, target, high / 4, scales / 4, minima / 4];
      const buffers = [this.#layer(layer)];
      const constants = { BITS: side.bits, CLIP: clip };
      const n = ((rows / group) * columns) / 2;
      this.#run('pack_scales', {}, params, buffers, [groupsOf(n), 1, shape.kvHeads], constants);
      this.#run(
        'pack_codes',
        {},
        params,
        buffers,
        [groupsOf((rows * columns) / 32), 1, shape.kvHeads],
        constants,
      );
    }
  }

  /** @param {Rows} logits @param {import('./backend.js').RowChoice[]} choices */
  prepareChoice({ columns }, choices) {
    const words = Math.ceil(columns / 32);
    this.#choice ??= {
      samplings: this.#buffer(SAMPLING_BYTES * this.#maxRows),
      chances: this.#buffer(4 * this.#maxRows * MAX_PASSES),
      seen: this.#buffer(4 * this.#maxRows * words),
    };
    const { samplings, chances, seen } = this.#choice;
    this.#gpu.queue.writeBuffer(samplings, 0, packSamplings(choices));
    this.#gpu.queue.writeBuffer(chances, 0, packChances(choices));
    const marks = packSeen(choices, words);
    if (marks) this.#gpu.queue.writeBuffer(seen, 0, marks);
  }

  /** @param {Rows} logits @param {number} pass */
  choose(logits, pass) {
    const n = this.#step.length;
    const { samplings, chances, seen } = /** @type {Choice} */ (this.#choice);
    const buffers = [floatsOf(logits), this.#stepRows, this.#tokens, samplings, chances, seen];
    const params = [logits.columns, logits.stride, pass * n, Math.ceil(logits.columns / 32)];
    this.#run('choose', {}, params, buffers, [n]);
    this.#step = this.#step.map((row) => ({ ...row, position: row.position + 1 }));
  }

  /** @param {number} passes */
  async chosen(passes) {
    const all = await this.#readBack(this.#tokens, 4 * passes * this.#step.length);
    return new Uint32Array(all);
  }

  /** @param {Rows} x @param {number} n @returns {Promise<Float32Array[]>} */
  async read(x, n) {
    const all = new Float32Array(await this.#readBack(floatsOf(x), 4 * Math.max(1, n) * x.stride));
    return Array.from({ length: n }, (_, row) => all.subarray(row * x.stride, row * x.stride + x.columns));
  }

  /** The first bytes of a buffer, once everything before is done. @param {GPUBuffer} buffer @param {number} sizeBytes */
  async #readBack(buffer, sizeBytes) {
    if (!this.#staging || this.#staging.size < sizeBytes) {
      this.#staging?.destroy();
      this.#staging = this.#gpu.createBuffer({
        size: sizeBytes,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
    }
    const staging = this.#staging;
    this.#shaders.submit((encoder) => encoder.copyBufferToBuffer(buffer, 0, staging, 0, sizeBytes));
    await awaitGpu(this.#gpu, staging.mapAsync(GPUMapMode.READ, 0, sizeBytes));
    const bytes = staging.getMappedRange(0, sizeBytes).slice(0);
    staging.unmap();
    return bytes;
  }

  /** @param {number} from @param {number} to */
  copySlot(from, to) {
    const { shape, layers, spare } = this.#held();
    const sizeBytes = shape.slotBytes / shape.layers;
    this.#shaders.submit((encoder) => {
      for (const layer of layers) {
        // Within one buffer nothing can be copied directly.
        encoder.copyBufferToBuffer(layer, from * sizeBytes, spare, 0, sizeBytes);
        encoder.copyBufferToBuffer(spare, 0, layer, to * sizeBytes, sizeBytes);
      }
    });
  }

  sibling() {
    return new WebGpuBackend(this.#gpu, this.#shaders.sibling(), this);
  }

  release() {
    // A layout that failed: why, was thrown. Of a lost device nothing can be asked.
    this.#takeErrors().catch(() => {});
    for (const buffer of this.#buffers) buffer.destroy();
    this.#staging?.destroy();
    this.#shaders.release();
    this.#buffers = [];
    this.#ownBytes = 0;
  }

  /** @param {number} sizeBytes */
  #buffer(sizeBytes) {
    const size = roundUp(Math.max(sizeBytes, 16), 16);
    const most = Math.min(this.#gpu.limits.maxStorageBufferBindingSize, this.#gpu.limits.maxBufferSize);
    if (size > most) {
      throw new Fault(
        'Unsupported',
        `a buffer of ${megabytes(size)}`,
        `one buffer of this adapter holds ${megabytes(most)}`,
      );
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = this.#gpu.createBuffer({ size, usage });
    this.#buffers.push(buffer);
    this.#ownBytes += size;
    return buffer;
  }

  /**
   * @param {import('./webgpu_shaders.js').ShaderName} name @param {Record<string, number>} constants
   * @param {(number | {float: number})[]} params @param {GPUBuffer[]} buffers @param {number[]} groups
   * @param {Record<string, number>} [more]
   */
  #run(name, constants, params, buffers, groups, more = {}) {
    this.#shaders.run(name, { ...constants, ...more }, params, buffers, groups);
  }

  #held() {
    if (!this.#cache) throw new Error('no cache was laid out');
    return this.#cache;
  }

  /** @param {number} layer */
  #layer(layer) {
    return /** @type {GPUBuffer} */ (this.#held().layers[layer]);
  }
}

/** Where a side begins in a layer's buffer, in u32. @param {CacheShape} shape @param {'keys' | 'values'} name */
function words(shape, name) {
  const headWords = (shape.keys.headBytes + shape.values.headBytes) / 4;
  const first = name === 'keys' ? 0 : shape.keys.headBytes / 4;
  return { slotWords: shape.slotBytes / shape.layers / 4, headWords, first };
}

/** @param {CacheShape} shape @param {'keys' | 'values'} name */
function sideParams(shape, name) {
  const { places, ringBytes, block } = shape[name];
  const { first } = words(shape, name);
  const { sizeBytes, high, scales, minima, group } = block;
  return [places, first, first + ringBytes / 4, sizeBytes / 4, high / 4, scales / 4, minima / 4, group];
}

const groupsOf = (/** @type {number} */ invocations) => Math.ceil(invocations / WORKGROUP);
const megabytes = (/** @type {number} */ bytes) => `${(bytes / 2 ** 20).toFixed(0)} MB`;
const bufferOf = (/** @type {unknown} */ place) => /** @type {Filled} */ (place).buffer;
const floatsOf = (/** @type {Rows} */ rows) => /** @type {GPUBuffer} */ (rows.floats);
const quantizedOf = (/** @type {Rows} */ rows) => /** @type {Quantized} */ (rows.quantized);
