/** Weights of few bits where they lie on a backend: once for all models of the same files. */
import { readManifest } from './manifest.js';
import { loadShards } from './shards.js';

/** @typedef {import('./backend.js').Backend} Backend */
/** @typedef {import('./manifest.js').Manifest} Manifest */
/** @typedef {import('./shards.js').FetchShard} FetchShard */

export class Weights {
  /** @type {Map<string, import('./backend.js').Matrix>} */
  #matrices = new Map();
  /** @type {Promise<void> | null} */
  #loading = null;

  /**
   * Laid out, and empty until `load`. Raises ModelFault for a manifest that is not understood, OutOfMemory.
   * @param {Backend} backend a fresh one; theirs from now on
   * @param {unknown} manifestJson `low_bits.json`
   * @param {string} model named in errors
   */
  static async layOut(backend, manifestJson, model) {
    try {
      const weights = new Weights(backend, readManifest(manifestJson, model));
      await backend.settle();
      return weights;
    } catch (error) {
      backend.release();
      throw error;
    }
  }

  /** @param {Backend} backend @param {Manifest} manifest */
  constructor(backend, manifest) {
    this.backend = backend;
    this.manifest = manifest;
    for (const [name, { layout }] of manifest.tensors) this.#matrices.set(name, backend.matrix(layout));
  }

  get sizeBytes() {
    return [...this.manifest.tensors.values()].reduce((sum, { layout }) => sum + layout.sizeBytes, 0);
  }

  /** @param {string} name */
  matrix(name) {
    const matrix = this.#matrices.get(name);
    if (!matrix) throw new Error(`no tensor ${name}`);
    return matrix;
  }

  /**
   * Streams the shards to where their tensors lie, for the first who asks; whoever comes later waits for it. Raises
   * ModelFault.
   * @param {FetchShard} fetchShard
   * @param {string} model named in errors
   * @param {(loadedBytes: number, totalBytes: number) => void} [onProgress]
   */
  load(fetchShard, model, onProgress) {
    const place = (
      /** @type {string} */ name,
      /** @type {number} */ offset,
      /** @type {Uint8Array} */ bytes,
    ) => this.backend.write(this.matrix(name), offset, bytes);
    this.#loading ??= loadShards(this.manifest, fetchShard, place, model, onProgress);
    return this.#loading;
  }

  /** Frees them, and whatever lies beside them. */
  async free() {
    this.backend.release();
  }
}
