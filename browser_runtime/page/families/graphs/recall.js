/**
 * What one call takes from the results that its lane keeps (../../engines/shared_results.js), and leaves there.
 */

import { countBytes } from './floats.js';

/** @typedef {import('onnxruntime-common').Tensor} Tensor */
/** @typedef {import('../../engines/shared_results.js').SharedResults} SharedResults */
/**
 * @template Value
 * @typedef {import('../../engines/shared_results.js').Use<Value>} Use
 */
/**
 * @template Value
 * @typedef {import('../../engines/shared_results.js').Made<Value>} Made
 */
/**
 * @typedef {object} Encoder a graph whose results may be shared
 * @property {string | null} key equal for graphs that give the same results: backend, content, and how it computes them; null: nothing is shared
 * @property {string} model
 * @property {string} graph its stem
 */
/** @typedef {{graph: string, model: string, run: string, n: number, size_bytes: number}} Note results that were not computed anew; of this very run for an item that it holds twice */
/** @typedef {Int32Array | Float32Array} Numbers */

/**
 * The encoder of an opened graph source.
 * @param {import('../contract.js').Opening} opening
 * @param {import('./model_graphs.js').GraphSource} source
 * @param {string} graph its stem
 * @returns {Encoder}
 */
export function nameEncoder({ model, backend, options }, source, graph) {
  const { content } = source;
  const how = options.layout ? `|${options.layout}` : '';
  return { key: content === undefined ? null : `${backend}|${content}${how}`, model: model.name, graph };
}

export class Recall {
  #results;
  #run;
  /** @type {Map<string, Note>} */
  #notes = new Map();

  /**
   * @param {SharedResults | null} results null: everything is computed, and nothing kept
   * @param {string} run the name of this call, which later ones tell
   */
  constructor(results, run) {
    this.#results = results;
    this.#run = run;
  }

  /** What was taken from earlier runs, or from an equal item of this one. @returns {Note[]} */
  get notes() {
    return [...this.#notes.values()];
  }

  /**
   * A use of the result of each input, to be released; `compute` is asked for those that are not kept, each once.
   * @template Value
   * @param {Encoder} encoder
   * @param {Numbers[][]} inputs what the result depends on, and its shape
   * @param {(missing: number[]) => Promise<Made<Value>[]>} compute the results of the inputs at these places
   * @returns {Promise<Use<Value>[]>}
   */
  async encode(encoder, inputs, compute) {
    const results = this.#results;
    if (results === null || encoder.key === null) {
      const made = await compute([...inputs.keys()]);
      return made.map(ownUse);
    }
    const keys = await Promise.all(inputs.map((input) => nameResult(encoder, input)));
    /** @type {Map<string, Use<Value>>} */
    const found = new Map();
    const release = () => {
      for (const each of found.values()) each.release();
    };
    try {
      await this.#fill(found, keys, encoder, compute, results);
      return keys.map((key) => /** @type {Use<Value>} */ (found.get(key)).again());
    } finally {
      release();
    }
  }

  /**
   * @template Value
   * @param {Map<string, Use<Value>>} found a use of each distinct result, by key
   * @param {string[]} keys
   * @param {Encoder} encoder
   * @param {(missing: number[]) => Promise<Made<Value>[]>} compute
   * @param {SharedResults} results
   */
  async #fill(found, keys, encoder, compute, results) {
    const missing = [];
    const repeated = [];
    for (const [at, key] of keys.entries()) {
      if (keys.indexOf(key) !== at) {
        repeated.push(key);
        continue;
      }
      const known = results.take(key);
      if (known === null) missing.push(at);
      else {
        found.set(key, known);
        this.#note(encoder, known);
      }
    }
    const origin = { run: this.#run, model: encoder.model, graph: encoder.graph };
    const computed = missing.length > 0 ? await compute(missing) : [];
    for (const [index, made] of computed.entries()) {
      const key = /** @type {string} */ (keys[/** @type {number} */ (missing[index])]);
      found.set(key, results.keep(key, made.detach?.() ?? made, origin));
    }
    // Computed once for several items: the call's time is not that of so many.
    for (const key of repeated) this.#note(encoder, /** @type {Use<unknown>} */ (found.get(key)));
  }

  /** @param {Encoder} encoder @param {Use<unknown>} known */
  #note({ graph }, { origin, sizeBytes }) {
    const key = `${graph} ${origin.run}`;
    const note = this.#notes.get(key) ?? { graph, model: origin.model, run: origin.run, n: 0, size_bytes: 0 };
    this.#notes.set(key, { ...note, n: note.n + 1, size_bytes: note.size_bytes + sizeBytes });
  }
}

/**
 * A tensor as a result of its own.
 * @param {Tensor} value
 * @param {() => Tensor} detach gives one that outlives its graph
 * @returns {Made<Tensor>}
 */
export function holdTensor(value, detach) {
  return {
    value,
    sizeBytes: countBytes(value),
    free: () => value.dispose(),
    detach: () => {
      const own = detach();
      return { value: own, sizeBytes: countBytes(own), free: () => own.dispose() };
    },
  };
}

/** For runs whose point is to compute: a warm-up, a check. */
export const NO_RECALL = new Recall(null, '');

/**
 * @template Value
 * @param {Made<Value>} made
 * @returns {Use<Value>}
 */
function ownUse(made) {
  const own = {
    value: made.value,
    origin: { run: '', model: '', graph: '' },
    sizeBytes: made.sizeBytes,
    again: () => own,
    release: () => made.free?.(),
  };
  return own;
}

/**
 * The name of a result: of the graph, and of the numbers that it is given, to the bit.
 * @param {Encoder} encoder
 * @param {Numbers[]} input
 */
async function nameResult({ key }, input) {
  const lengths = Int32Array.from(input, ({ length }) => length);
  const parts = [lengths, ...input].map(
    ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
  );
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', all));
  return `${key}|${Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
