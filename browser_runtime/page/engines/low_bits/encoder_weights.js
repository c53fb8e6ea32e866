/** The weights of an encoder in WebAssembly's memory: matrices widened as they come, norms, and what is read by the row. */
import { activationLimit, WEIGHT_LIMIT } from '../../kernels/panels.js';
import { readRow } from '../../kernels/twins/matrices.js';
import { isProduct } from './encoder_manifest.js';

/** @typedef {import('./encoder_manifest.js').EncoderManifest} EncoderManifest */
/** @typedef {{place: number, scales: number, biases: number, rows: number, columns: number, limit: number}} Product */
/** @typedef {Record<'qkv' | 'o' | 'up' | 'down', Product>} Layer */

// Which product, and at which of its rows, each matrix of a layer is part of.
const PARTS = /** @type {const} */ ([
  ['qkv', ['q', 'k', 'v']],
  ['o', ['o']],
  ['up', ['up']],
  ['down', ['down']],
]);
const NORMS = ['attention_norm', 'attention_norm_bias', 'ffn_norm', 'ffn_norm_bias'];

export class EncoderWeights {
  /** @type {Map<string, Uint8Array>} tensors that have not come whole, and those that are read by the row */
  #tensors = new Map();
  /** @type {Map<string, number>} bytes that have come of each */
  #come = new Map();
  /** @type {string[]} */
  #kept;
  /** @type {Layer[]} */
  layers = [];
  /** @type {Product | null} of an encoder of images */
  patches = null;
  /** @type {Map<string, number>} where norms are */
  norms = new Map();

  /**
   * Raises OutOfMemory.
   * @param {EncoderManifest} manifest
   * @param {import('./wasm_memory.js').WasmMemory} memory
   * @param {import('./wasm_kernels.js').Kernels} kernels
   * @param {string[]} kept tensors that stay as they come
   */
  constructor(manifest, memory, kernels, kept) {
    this.manifest = manifest;
    this.memory = memory;
    this.kernels = kernels;
    this.#kept = kept;
    for (let layer = 0; layer < manifest.architecture.layers; layer++) this.layers.push(this.#layOutLayer());
    for (const [name, { layout }] of manifest.tensors)
      if (isNorm(name)) this.norms.set(name, memory.alloc(4 * layout.columns));
    const patches = manifest.tensors.get('patches')?.layout;
    if (patches) this.patches = this.#layOut(patches.rows, patches.columns);
    // A matrix as it came, until it is widened.
    this.staging = memory.alloc(Math.max(...Array.from(manifest.tensors, stagedBytes)));
  }

  /** Bits of a row's codes, their sign counted, in the product that has fewest. */
  get activationBits() {
    const products = this.layers.flatMap((layer) => Object.values(layer));
    if (this.patches) products.push(this.patches);
    return Math.min(...products.map(({ limit }) => Math.floor(Math.log2(limit + 1)) + 1));
  }

  /** Bytes outside of WebAssembly's memory. */
  get keptBytes() {
    return this.#kept.reduce((sum, name) => sum + this.#tensor(name).layout.sizeBytes, 0);
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

  /** One row of a tensor that was kept. @param {string} name @param {number} row @param {Float32Array} out */
  readRow(name, row, out) {
    readRow(/** @type {Uint8Array} */ (this.#tensors.get(name)), this.#tensor(name).layout, row, out);
  }

  /** All numbers of a tensor that was kept. @param {string} name */
  readAll(name) {
    const { rows, columns } = this.#tensor(name).layout;
    const all = new Float32Array(rows * columns);
    for (let row = 0; row < rows; row++)
      this.readRow(name, row, all.subarray(row * columns, (row + 1) * columns));
    return all;
  }

  /** Forgets what was kept. */
  clear() {
    this.#tensors.clear();
  }

  /** @param {string} name */
  #tensor(name) {
    return /** @type {import('./manifest.js').Tensor} */ (this.manifest.tensors.get(name));
  }

  /** @returns {Layer} */
  #layOutLayer() {
    const { width, ffn } = this.manifest.architecture;
    return {
      qkv: this.#layOut(3 * width, width),
      o: this.#layOut(width, width),
      up: this.#layOut(ffn, width),
      down: this.#layOut(width, ffn),
    };
  }

  /** @param {number} rows @param {number} columns @returns {Product} */
  #layOut(rows, columns) {
    const place = this.memory.alloc(2 * rows * columns);
    const [scales, biases] = [this.memory.alloc(4 * rows), this.memory.alloc(4 * rows)];
    return { place, scales, biases, rows, columns, limit: activationLimit(0) };
  }

  /** Puts a whole tensor where it is read. @param {string} name @param {Uint8Array} bytes */
  #settle(name, bytes) {
    if (this.#kept.includes(name)) return;
    this.#tensors.delete(name);
    const { layout } = this.#tensor(name);
    const norm = this.norms.get(name);
    if (norm !== undefined) {
      readRow(bytes, layout, 0, this.memory.floats(norm, layout.columns));
      return;
    }
    const { target, first } = this.#findProduct(name.replace(/_bias$/, ''));
    if (name.endsWith('_bias'))
      readRow(bytes, layout, 0, this.memory.floats(target.biases + 4 * first, layout.columns));
    else this.#widen(bytes, layout, target, first);
  }

  /** The product that a matrix is part of, and its first row there. @param {string} name */
  #findProduct(name) {
    if (name === 'patches') return { target: /** @type {Product} */ (this.patches), first: 0 };
    const [, index, matrix = ''] = name.split('.');
    const [product, parts] =
      PARTS.find(([, names]) => /** @type {readonly string[]} */ (names).includes(matrix)) ?? PARTS[0];
    const target = /** @type {Product} */ (this.layers[Number(index)]?.[product]);
    return {
      target,
      first: /** @type {readonly string[]} */ (parts).indexOf(matrix) * (target.rows / parts.length),
    };
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
}

const isNorm = (/** @type {string} */ name) =>
  name === 'norm' || name === 'norm_bias' || NORMS.some((norm) => name.endsWith(`.${norm}`));

/** @param {[string, import('./manifest.js').Tensor]} entry */
const stagedBytes = ([name, { layout }]) => (isProduct(name) ? layout.sizeBytes : 0);
