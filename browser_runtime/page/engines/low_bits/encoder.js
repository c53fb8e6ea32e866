/**
 * A BERT or a ViT of 8-bit weights in WebAssembly: all rows of a batch are one set, and texts or images meet in attention alone.
 *
 * Weights and rows become int16 for products, whose sums are exact; everything else is float32.
 */
import { Fault } from '../../faults.js';
import { roundUp } from '../../kernels/layout.js';
import { PANEL_ROWS } from '../../kernels/panels.js';
import { ImageInput, TextInput } from './encoder_inputs.js';
import { readEncoderManifest, readsImages } from './encoder_manifest.js';
import { EncoderWeights } from './encoder_weights.js';
import { loadShards } from './shards.js';
import { bindKernels, ENCODER_KERNELS, fetchKernel, variantsHere } from './wasm_kernels.js';
import { WasmMemory } from './wasm_memory.js';

/** @typedef {import('./encoder_manifest.js').EncoderManifest} EncoderManifest */
/** @typedef {import('./encoder_inputs.js').Tokens} Tokens */
/** @typedef {import('./encoder_weights.js').Product} Product */
/** @typedef {import('./encoder_weights.js').Layer} Layer */

// A batch goes through in pieces of about so many rows: their rows stay in the second-level cache.
export const ROWS_AT_ONCE = 512;
// Their scores stay in the cache too: over 1500 rows attention takes 0.83 of the time (177 ms and 214, in Node).
const QUERIES_AT_ONCE = 64;

/**
 * Raises ModelFault for what is not understood or does not fit the manifest, OutOfMemory.
 * @param {unknown} json `low_bits_encoder.json`
 * @param {import('./shards.js').FetchShard} fetchShard
 * @param {{model: string, maxTokens?: number, variant?: import('./wasm_kernels.js').Variant,
 *   load?: import('./wasm_kernels.js').LoadKernel, onProgress?: (loaded: number, total: number) => void}} options
 * @returns {Promise<Encoder>}
 */
export async function createEncoder(json, fetchShard, options) {
  const { model, variant = variantsHere()[0] ?? 'simd', load = fetchKernel, onProgress } = options;
  const manifest = readEncoderManifest(json, model);
  const { architecture } = manifest;
  const input = readsImages(architecture) ? new ImageInput(architecture) : new TextInput(architecture);
  const maxTokens = options.maxTokens ?? input.mostRows;
  if (maxTokens > input.mostRows) {
    const text = `texts of ${maxTokens} tokens are more than its ${input.mostRows} positions`;
    throw new Fault('ModelFault', model, text);
  }
  const memory = new WasmMemory();
  const kernels = await bindKernels(memory.memory, variant, load, ENCODER_KERNELS);
  const encoder = new Encoder(manifest, memory, kernels, { variant, maxTokens, input });
  try {
    await loadShards(manifest, fetchShard, (...bytes) => encoder.weights.place(...bytes), model, onProgress);
  } catch (error) {
    await encoder.free();
    throw error;
  }
  return encoder;
}

export class Encoder {
  /**
   * Lays everything out; nothing is allocated afterwards. Raises OutOfMemory.
   * @param {EncoderManifest} manifest
   * @param {WasmMemory} memory
   * @param {import('./wasm_kernels.js').Kernels} kernels
   * @param {{variant: string, maxTokens: number, input: TextInput | ImageInput}} options `maxTokens`: rows of one text or image
   */
  constructor(manifest, memory, kernels, { variant, maxTokens, input }) {
    this.manifest = manifest;
    this.memory = memory;
    this.kernels = kernels;
    this.variant = variant;
    this.maxRows = Math.max(maxTokens, ROWS_AT_ONCE);
    this.maxTokens = maxTokens;
    this.input = input;
    /** Texts have their norms behind the blocks, images before them. */
    this.normsFirst = readsImages(manifest.architecture);
    this.weights = new EncoderWeights(manifest, memory, kernels, input.kept);
    const { width, ffn, heads } = manifest.architecture;
    const { patchColumns } = input;
    const floats = (/** @type {number} */ columns) => memory.alloc(4 * this.maxRows * columns);
    const [x, h, qkv] = [floats(width), floats(width), floats(3 * width)];
    const wide = floats(Math.max(ffn, patchColumns));
    this.rows = { x, h, qkv, wide, normed: this.normsFirst ? floats(width) : x };
    this.codes = memory.alloc(2 * this.maxRows * Math.max(width, ffn, patchColumns));
    this.scales = memory.alloc(4 * this.maxRows);
    this.turned = memory.alloc(4 * roundUp(maxTokens, 8) * (width / heads));
    this.scores = memory.alloc(Math.min(maxTokens, QUERIES_AT_ONCE) * scoreBytes(maxTokens));
  }

  /** Bytes of its weights, as they come. */
  get sizeBytes() {
    return this.manifest.shards.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  }

  /** What a reply tells. */
  get facts() {
    return {
      kernels: `low_bits wasm ${this.variant}`,
      weight_bits: [8],
      weight_bytes: this.sizeBytes,
      activation_bits: this.weights.activationBits,
      memory_bytes: this.memory.sizeBytes + this.weights.keptBytes,
    };
  }

  /**
   * The vectors of each text's tokens, or of each image's class token and patches: [rows, width]. Raises ModelFault
   * for a token that it has no row of, or an image of another size.
   * @param {(Tokens | Float32Array)[]} items together at most `maxRows` rows, each at most `maxTokens`
   * @param {string} model named in errors
   * @returns {Float32Array[]}
   */
  run(items, model) {
    const { width } = this.manifest.architecture;
    const counts = items.map((item) => this.input.count(/** @type {any} */ (item)));
    const n = counts.reduce((sum, count) => sum + count, 0);
    this.#embed(items, counts, model);
    if (!this.normsFirst) this.#normalise('norm', n, this.rows.x);
    for (const [index, layer] of this.weights.layers.entries()) this.#computeLayer(index, layer, counts, n);
    if (this.normsFirst) this.#normalise('norm', n, this.rows.x);
    let first = 0;
    return counts.map((count) => {
      const vectors = this.memory.floats(this.rows.x + 4 * width * first, count * width).slice();
      first += count;
      return vectors;
    });
  }

  /** Drops the memory: it cannot run any more. */
  async free() {
    this.memory.release();
    this.weights.clear();
    this.kernels = {};
  }

  /** The rows of items into x and h, which are added up. @param {(Tokens | Float32Array)[]} items @param {number[]} counts rows of each @param {string} model */
  #embed(items, counts, model) {
    const { width } = this.manifest.architecture;
    const { x, h, wide } = this.rows;
    /** @type {import('./encoder_inputs.js').Rows} */
    const to = {
      model,
      read: (name, row, out) => this.weights.readRow(name, row, out),
      x: (row) => this.memory.floats(x + 4 * width * row, width),
      h: (row) => this.memory.floats(h + 4 * width * row, width),
      patches: (count) => this.memory.floats(wide, count),
      multiplyPatches: (row, count) =>
        this.#multiply(/** @type {Product} */ (this.weights.patches), wide, x + 4 * width * row, count),
    };
    let first = 0;
    for (const [index, item] of items.entries()) {
      this.input.embed(/** @type {any} */ (item), first, to);
      first += counts[index] ?? 0;
    }
  }

  /** LayerNorm of x + h. @param {string} name @param {number} n rows @param {number} to where it is written: x, or beside it */
  #normalise(name, n, to) {
    const { width, norm_eps: eps } = this.manifest.architecture;
    const [weight = 0, bias = 0] = [this.weights.norms.get(name), this.weights.norms.get(`${name}_bias`)];
    const { x, h } = this.rows;
    this.kernels.layer_norm?.(x, h, weight, bias, to, 4 * width, n, width, eps);
  }

  /** @param {number} index @param {Layer} layer @param {number[]} counts @param {number} n rows */
  #computeLayer(index, layer, counts, n) {
    const { ffn, activation } = this.manifest.architecture;
    const { h, qkv, wide } = this.rows;
    const [attention, feedForward] = [`layers.${index}.attention_norm`, `layers.${index}.ffn_norm`];
    this.#multiply(layer.qkv, this.#enter(attention, n), qkv, n);
    this.#attend(counts);
    this.#multiply(layer.o, wide, h, n);
    this.#leave(attention, n);
    this.#multiply(layer.up, this.#enter(feedForward, n), wide, n);
    this.kernels[activation]?.(wide, n * ffn);
    this.#multiply(layer.down, wide, h, n);
    this.#leave(feedForward, n);
  }

  /** Where the rows are that a block reads; a norm that stands before it is of x + h, which x becomes. @param {string} norm @param {number} n */
  #enter(norm, n) {
    const { x, h, normed } = this.rows;
    if (!this.normsFirst) return x;
    this.#normalise(norm, n, normed);
    const count = n * this.manifest.architecture.width;
    const [sum, added] = [this.memory.floats(x, count), this.memory.floats(h, count)];
    for (let at = 0; at < count; at++) sum[at] = (sum[at] ?? 0) + (added[at] ?? 0);
    return normed;
  }

  /** Adds what a block made, h, to x where the norm stands behind it. @param {string} norm @param {number} n rows */
  #leave(norm, n) {
    if (!this.normsFirst) this.#normalise(norm, n, this.rows.x);
  }

  /** @param {Product} product @param {number} x @param {number} y @param {number} n rows */
  #multiply({ place, scales, biases, rows, columns, limit }, x, y, n) {
    this.kernels.widen?.(x, 4 * columns, this.codes, this.scales, n, columns, limit);
    const panels = rows / PANEL_ROWS;
    this.kernels.matwide?.(place, scales, biases, this.codes, this.scales, y, 4 * rows, n, panels, columns);
  }

  /** What each row takes from the others of its text or image, into `wide`: [rows, width]. @param {number[]} counts rows of each */
  #attend(counts) {
    const { width, heads } = this.manifest.architecture;
    const dim = width / heads;
    let first = 0;
    for (const count of counts) {
      for (let head = 0; head < heads; head++) {
        const q = this.rows.qkv + 4 * (3 * width * first + dim * head);
        this.#attendHead(q, this.rows.wide + 4 * (width * first + dim * head), count, dim);
      }
      first += count;
    }
  }

  /** @param {number} q where the head's queries begin @param {number} y @param {number} n rows @param {number} dim */
  #attendHead(q, y, n, dim) {
    const { width } = this.manifest.architecture;
    const { kernels: k, scores, turned } = this;
    const [ld, ldScores] = [12 * width, scoreBytes(n)];
    k.turn?.(q + 4 * width, ld, turned, n, dim);
    for (let first = 0; first < n; first += QUERIES_AT_ONCE) {
      const queries = Math.min(QUERIES_AT_ONCE, n - first);
      k.matpanel?.(
        turned,
        32,
        32 * dim,
        Math.ceil(n / 8),
        q + first * ld,
        ld,
        scores,
        ldScores,
        queries,
        dim,
      );
      k.softmax?.(scores, ldScores, n, queries, 1 / Math.sqrt(dim), roundUp(n, 4));
      const to = y + 4 * width * first;
      k.matpanel?.(q + 8 * width, ld, 32, dim / 8, scores, ldScores, to, 4 * width, queries, n);
    }
  }
}

/** Bytes from row to row of scores: no power of two, whose places would push each other out of the cache. */
const scoreBytes = (/** @type {number} */ n) => 4 * roundUp(n, 8) + 32;
