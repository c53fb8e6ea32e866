/**
 * A BERT of 8-bit weights in WebAssembly: all tokens of a batch are one set of rows, and texts meet in attention alone.
 *
 * Weights and rows become int16 for products, whose sums are exact; everything else is float32.
 */
import { Fault } from '../../faults.js';
import { roundUp } from '../../kernels/layout.js';
import { activationLimit, PANEL_ROWS, WEIGHT_LIMIT } from '../../kernels/panels.js';
import { readRow } from '../../kernels/twins/matrices.js';
import { readEncoderManifest } from './encoder_manifest.js';
import { loadShards } from './shards.js';
import { bindKernels, ENCODER_KERNELS, fetchKernel, variantsHere } from './wasm_kernels.js';
import { WasmMemory } from './wasm_memory.js';

/** @typedef {import('./encoder_manifest.js').EncoderManifest} EncoderManifest */
/** @typedef {{ids: Int32Array, segments: Int32Array | null}} Tokens */
/** @typedef {{place: number, scales: number, biases: number, rows: number, columns: number, limit: number}} Product */
/** @typedef {Record<string, Product>} Layer */

// A batch goes through in pieces of about so many tokens: their rows stay in the second-level cache.
export const ROWS_AT_ONCE = 512;
// Which product, and at which of its rows, each matrix of a layer is part of.
const PARTS = /** @type {const} */ ([
  ['qkv', ['q', 'k', 'v']],
  ['o', ['o']],
  ['up', ['up']],
  ['down', ['down']],
]);
const NORMS = ['attention_norm', 'attention_norm_bias', 'ffn_norm', 'ffn_norm_bias'];

/**
 * Raises ModelFault for what is not understood or does not fit the manifest, OutOfMemory.
 * @param {unknown} json `low_bits_encoder.json`
 * @param {import('./shards.js').FetchShard} fetchShard
 * @param {{model: string, maxTokens: number, variant?: import('./wasm_kernels.js').Variant,
 *   load?: import('./wasm_kernels.js').LoadKernel, onProgress?: (loaded: number, total: number) => void}} options
 * @returns {Promise<Encoder>}
 */
export async function createEncoder(json, fetchShard, options) {
  const { model, maxTokens, variant = variantsHere()[0] ?? 'simd', load = fetchKernel, onProgress } = options;
  const manifest = readEncoderManifest(json, model);
  if (maxTokens > manifest.architecture.max_positions) {
    const text = `texts of ${maxTokens} tokens are more than its ${manifest.architecture.max_positions} positions`;
    throw new Fault('ModelFault', model, text);
  }
  const memory = new WasmMemory();
  const kernels = await bindKernels(memory.memory, variant, load, ENCODER_KERNELS);
  const encoder = new Encoder(manifest, memory, kernels, { variant, maxTokens });
  try {
    await loadShards(manifest, fetchShard, (...bytes) => encoder.place(...bytes), model, onProgress);
  } catch (error) {
    await encoder.free();
    throw error;
  }
  return encoder;
}

export class Encoder {
  /** @type {Map<string, Uint8Array>} tensors that have not come whole, and those that are read by the row */
  #tensors = new Map();
  /** @type {Map<string, number>} bytes that have come of each */
  #come = new Map();
  /** @type {Layer[]} */
  #layers = [];
  /** @type {Map<string, number>} where norms are */
  #vectors = new Map();

  /**
   * Lays everything out; nothing is allocated afterwards. Raises OutOfMemory.
   * @param {EncoderManifest} manifest
   * @param {WasmMemory} memory
   * @param {import('./wasm_kernels.js').Kernels} kernels
   * @param {{variant: string, maxTokens: number}} options
   */
  constructor(manifest, memory, kernels, { variant, maxTokens }) {
    this.manifest = manifest;
    this.memory = memory;
    this.kernels = kernels;
    this.variant = variant;
    this.maxRows = Math.max(maxTokens, ROWS_AT_ONCE);
    this.maxTokens = maxTokens;
    const { width, ffn, layers } = manifest.architecture;
    for (let layer = 0; layer < layers; layer++) this.#layers.push(this.#layOutLayer());
    for (const [name, { layout }] of manifest.tensors)
      if (isNorm(name)) this.#vectors.set(name, memory.alloc(4 * layout.columns));
    const floats = (/** @type {number} */ columns) => memory.alloc(4 * this.maxRows * columns);
    this.rows = { x: floats(width), h: floats(width), qkv: floats(3 * width), wide: floats(ffn) };
    this.codes = memory.alloc(2 * this.maxRows * Math.max(width, ffn));
    this.scales = memory.alloc(4 * this.maxRows);
    this.turned = memory.alloc(4 * roundUp(maxTokens, 8) * (width / manifest.architecture.heads));
    this.scores = memory.alloc(maxTokens * scoreBytes(maxTokens));
    // A matrix as it came, until it is widened.
    this.staging = memory.alloc(Math.max(...Array.from(manifest.tensors, stagedBytes)));
  }

  /** Bytes of its weights, as they come. */
  get sizeBytes() {
    return this.manifest.shards.reduce((sum, { size_bytes }) => sum + size_bytes, 0);
  }

  /** What a reply tells. */
  get facts() {
    const { tensors } = this.manifest;
    return {
      kernels: `low_bits wasm ${this.variant}`,
      weight_bits: [8],
      weight_bytes: this.sizeBytes,
      activation_bits: Math.min(...this.#layers.flatMap(activationBits)),
      memory_bytes: this.memory.sizeBytes + rowBytes(tensors),
    };
  }

  /** Takes bytes of a tensor, from `offset` on. @param {string} name @param {number} offset @param {Uint8Array} bytes */
  place(name, offset, bytes) {
    const { layout } = this.#tensor(name);
    const held = this.#tensors.get(name) ?? new Uint8Array(layout.sizeBytes);
    this.#tensors.set(name, held);
    held.set(bytes, offset);
    const come = (this.#come.get(name) ?? 0) + bytes.length;
    this.#come.set(name, come);
    if (come === layout.sizeBytes) this.#settle(name, held);
  }

  /**
   * The vectors of each text's tokens: [tokens, width]. Raises ModelFault for a token that it has no row of.
   * @param {Tokens[]} texts together at most `maxRows` tokens, each at most `maxTokens`
   * @param {string} model named in errors
   * @returns {Float32Array[]}
   */
  run(texts, model) {
    const { width, norm_eps: eps } = this.manifest.architecture;
    const n = texts.reduce((sum, { ids }) => sum + ids.length, 0);
    this.#embed(texts, model);
    this.#normalise('norm', n, eps);
    for (const [index, layer] of this.#layers.entries()) this.#computeLayer(index, layer, texts, n);
    let first = 0;
    return texts.map(({ ids }) => {
      const vectors = this.memory.floats(this.rows.x + 4 * width * first, ids.length * width).slice();
      first += ids.length;
      return vectors;
    });
  }

  /** Drops the memory: it cannot run any more. */
  async free() {
    this.memory.release();
    this.#tensors.clear();
    this.kernels = {};
  }

  /** @param {string} name */
  #tensor(name) {
    return /** @type {import('./manifest.js').Tensor} */ (this.manifest.tensors.get(name));
  }

  #layOutLayer() {
    /** @type {Layer} */
    const layer = {};
    const { width, ffn } = this.manifest.architecture;
    const sizes = { qkv: [3 * width, width], o: [width, width], up: [ffn, width], down: [width, ffn] };
    for (const [name, [rows = 0, columns = 0]] of Object.entries(sizes)) {
      const place = this.memory.alloc(2 * rows * columns);
      const [scales, biases] = [this.memory.alloc(4 * rows), this.memory.alloc(4 * rows)];
      layer[name] = { place, scales, biases, rows, columns, limit: activationLimit(0) };
    }
    return layer;
  }

  /** Puts a whole tensor where it is read. @param {string} name @param {Uint8Array} bytes */
  #settle(name, bytes) {
    if (!isNorm(name) && !name.startsWith('layers.')) return;
    this.#tensors.delete(name);
    const { layout } = this.#tensor(name);
    const norm = this.#vectors.get(name);
    if (norm !== undefined) {
      readRow(bytes, layout, 0, this.memory.floats(norm, layout.columns));
      return;
    }
    const [, index, part = ''] = name.split('.');
    const matrix = part.replace(/_bias$/, '');
    const [product, parts] =
      PARTS.find(([, names]) => /** @type {readonly string[]} */ (names).includes(matrix)) ?? PARTS[0];
    const target = /** @type {Product} */ (this.#layers[Number(index)]?.[product]);
    const first = /** @type {readonly string[]} */ (parts).indexOf(matrix) * (target.rows / parts.length);
    if (part !== matrix)
      readRow(bytes, layout, 0, this.memory.floats(target.biases + 4 * first, layout.columns));
    else this.#widen(bytes, layout, target, first);
  }

  /** @param {Uint8Array} bytes @param {import('../../kernels/layout.js').MatrixLayout} layout @param {Product} target @param {number} first row */
  #widen(bytes, layout, target, first) {
    const { groups, blocks, tiles, columns } = layout;
    new Uint8Array(this.memory.buffer).set(bytes, this.staging);
    const [wide, scales] = [target.place + 2 * first * columns, target.scales + 4 * first];
    const sections = [this.staging, this.staging + groups];
    const sizes = [blocks, tiles, columns, WEIGHT_LIMIT];
    const longest = this.kernels.widen_matrix?.(...sections, wide, scales, ...sizes) ?? 0;
    target.limit = Math.min(target.limit, activationLimit(longest));
  }

  /** Words into x, positions and token types into h. @param {Tokens[]} texts @param {string} model */
  #embed(texts, model) {
    const { width, vocab, token_types: nTypes } = this.manifest.architecture;
    const type = new Float32Array(width);
    let row = 0;
    for (const { ids, segments } of texts) {
      for (const [position, id] of ids.entries()) {
        const kind = segments?.[position] ?? 0;
        if (!(id >= 0 && id < vocab && kind >= 0 && kind < nTypes)) {
          const text = `token ${id} of segment ${kind} is beyond its ${vocab} words and ${nTypes} token types`;
          throw new Fault('ModelFault', model, text);
        }
        this.#readRow('words', id, this.memory.floats(this.rows.x + 4 * width * row, width));
        const rest = this.memory.floats(this.rows.h + 4 * width * row, width);
        this.#readRow('positions', position, rest);
        this.#readRow('token_types', kind, type);
        for (let column = 0; column < width; column++)
          rest[column] = (rest[column] ?? 0) + (type[column] ?? 0);
        row += 1;
      }
    }
  }

  /** @param {string} name @param {number} row @param {Float32Array} out */
  #readRow(name, row, out) {
    readRow(/** @type {Uint8Array} */ (this.#tensors.get(name)), this.#tensor(name).layout, row, out);
  }

  /** x = LayerNorm(x + h). @param {string} name @param {number} n rows @param {number} eps */
  #normalise(name, n, eps) {
    const { width } = this.manifest.architecture;
    const [weight = 0, bias = 0] = [this.#vectors.get(name), this.#vectors.get(`${name}_bias`)];
    const { x, h } = this.rows;
    this.kernels.layer_norm?.(x, h, weight, bias, x, 4 * width, n, width, eps);
  }

  /** @param {number} index @param {Layer} layer @param {Tokens[]} texts @param {number} n rows */
  #computeLayer(index, layer, texts, n) {
    const { ffn, norm_eps: eps, activation } = this.manifest.architecture;
    const { x, h, qkv, wide } = this.rows;
    this.#multiply(layer, 'qkv', x, qkv, n);
    this.#attend(texts);
    this.#multiply(layer, 'o', wide, h, n);
    this.#normalise(`layers.${index}.attention_norm`, n, eps);
    this.#multiply(layer, 'up', x, wide, n);
    this.kernels[activation]?.(wide, n * ffn);
    this.#multiply(layer, 'down', wide, h, n);
    this.#normalise(`layers.${index}.ffn_norm`, n, eps);
  }

  /** @param {Layer} layer @param {string} name @param {number} x @param {number} y @param {number} n rows */
  #multiply(layer, name, x, y, n) {
    const { place, scales, biases, rows, columns, limit } = /** @type {Product} */ (layer[name]);
    this.kernels.widen?.(x, 4 * columns, this.codes, this.scales, n, columns, limit);
    const panels = rows / PANEL_ROWS;
    this.kernels.matwide?.(place, scales, biases, this.codes, this.scales, y, 4 * rows, n, panels, columns);
  }

  /** What each token takes from the others of its text, into `wide`: [tokens, width]. @param {Tokens[]} texts */
  #attend(texts) {
    const { width, heads } = this.manifest.architecture;
    const dim = width / heads;
    let first = 0;
    for (const { ids } of texts) {
      for (let head = 0; head < heads; head++) {
        const q = this.rows.qkv + 4 * (3 * width * first + dim * head);
        this.#attendHead(q, this.rows.wide + 4 * (width * first + dim * head), ids.length, dim);
      }
      first += ids.length;
    }
  }

  /** @param {number} q where the head's queries begin @param {number} y @param {number} n tokens @param {number} dim */
  #attendHead(q, y, n, dim) {
    const { width } = this.manifest.architecture;
    const { kernels: k, scores, turned } = this;
    const [ld, ldScores] = [12 * width, scoreBytes(n)];
    k.turn?.(q + 4 * width, ld, turned, n, dim);
    k.matpanel?.(turned, 32, 32 * dim, Math.ceil(n / 8), q, ld, scores, ldScores, n, dim);
    k.softmax?.(scores, ldScores, n, n, 1 / Math.sqrt(dim), roundUp(n, 4));
    k.matpanel?.(q + 8 * width, ld, 32, dim / 8, scores, ldScores, y, 4 * width, n, n);
  }
}

const isNorm = (/** @type {string} */ name) =>
  name === 'norm' || name === 'norm_bias' || NORMS.some((norm) => name.endsWith(`.${norm}`));

/** Bytes from row to row of scores: no power of two, whose places would push each other out of the cache. */
const scoreBytes = (/** @type {number} */ n) => 4 * roundUp(n, 8) + 32;

/** Bits of a token's codes, their sign counted, by product. @param {Layer} layer */
const activationBits = (layer) =>
  Object.values(layer).map(({ limit }) => Math.floor(Math.log2(limit + 1)) + 1);

/** @param {[string, import('./manifest.js').Tensor]} entry */
const stagedBytes = ([name, { layout }]) => (name.startsWith('layers.') ? layout.sizeBytes : 0);

/** Bytes of what is read by the row. @param {Map<string, import('./manifest.js').Tensor>} tensors */
const rowBytes = (tensors) =>
  ['words', 'positions', 'token_types'].reduce(
    (sum, name) => sum + (tensors.get(name)?.layout.sizeBytes ?? 0),
    0,
  );
