/**
 * The memory of a decoder between its steps: keys and values, which stay on the device where the graph leaves them.
 */

/** @typedef {import('../contract.js').Graph} Graph */
/** @typedef {import('../contract.js').Tensors} Tensors */
/** @typedef {typeof import('onnxruntime-common')} Ort */

/**
 * The outputs of a decoder that its next step takes.
 * @param {string[]} inputs the decoder's own, by name
 * @returns {string[]}
 */
export function nameCache(inputs) {
  const cached = inputs.filter((name) => name.startsWith('past_key_values'));
  return cached.map((name) => name.replace('past_key_values', 'present'));
}

export class KvCache {
  /** @type {Tensors} by the name of the graph's input */
  feeds = {};
  isEmpty = true;

  /**
   * @param {Graph} graph a merged decoder: past_key_values.* in, present.* out
   * @param {Ort} ort
   */
  constructor(graph, ort) {
    for (const input of graph.inputMetadata) {
      if (!input.isTensor || !input.name.startsWith('past_key_values')) continue;
      // Batch 1 and no past: the dimensions that the graph names instead of fixing are [batch, past].
      const dims = input.shape.map((size, axis) => (typeof size === 'number' ? size : axis === 0 ? 1 : 0));
      const nothing = input.type === 'float16' ? new Uint16Array(0) : new Float32Array(0);
      this.feeds[input.name] = new ort.Tensor(input.type, /** @type {any} */ (nothing), dims);
    }
  }

  /**
   * Takes a step's `present.*` outputs over and frees what they replace. The sound's own keys and values come from
   * the first step alone: later steps give placeholders for them.
   * @param {Tensors} outputs
   */
  take(outputs) {
    for (const [name, tensor] of Object.entries(outputs)) {
      if (!name.startsWith('present')) continue;
      const input = name.replace('present', 'past_key_values');
      const isPlaceholder = !this.isEmpty && name.includes('.encoder.');
      (isPlaceholder ? tensor : this.feeds[input])?.dispose();
      if (!isPlaceholder) this.feeds[input] = tensor;
    }
    this.isEmpty = false;
  }

  /** The bytes of all keys and values. */
  get sizeBytes() {
    const sizes = Object.values(this.feeds).map(({ type, dims }) => {
      return (type === 'float16' ? 2 : 4) * dims.reduce((product, size) => product * size, 1);
    });
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Frees everything. */
  release() {
    for (const tensor of Object.values(this.feeds)) tensor.dispose();
    this.feeds = {};
  }
}
