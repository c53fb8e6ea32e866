/** Images -> logits by a ViT of 8-bit weights: its encoder, and classes read off the class token. */
import { ImageInput } from '../../engines/low_bits/encoder_inputs.js';
import { Fault } from '../../faults.js';
import { openPackedEncoder } from '../graphs/packed_encoder.js';

/** @typedef {import('../contract.js').Opening} Opening */

/**
 * Raises Unsupported on another backend than WASM, OutOfMemory, and ModelFault, also where it takes images of another
 * size than they are made.
 * @param {Opening} opening
 * @param {import('./pixels.js').Plan} plan
 */
export async function openPackedClassifier(opening, plan) {
  const packed = await openPackedEncoder(opening);
  try {
    return new PackedClassifier(packed, opening.model, plan);
  } catch (error) {
    await packed.release();
    throw error;
  }
}

class PackedClassifier {
  /**
   * @param {import('../graphs/packed_encoder.js').PackedEncoder} packed
   * @param {Opening['model']} model
   * @param {import('./pixels.js').Plan} plan
   */
  constructor(packed, { name, limits }, { channels, height, width }) {
    const { encoder } = packed;
    const { input } = encoder;
    if (!(input instanceof ImageInput))
      throw new Fault('ModelFault', name, 'its encoder takes texts, not images');
    const { image } = input.architecture;
    const [taken, made] = [
      [image.channels, image.height, image.width].join(' x '),
      [channels, height, width].join(' x '),
    ];
    if (taken !== made)
      throw new Fault('ModelFault', name, `its encoder takes images of ${taken}, not ${made}`);
    this.packed = packed;
    this.model = name;
    this.isStatic = false;
    this.openedMs = 0;
    this.maxBatch = Math.min(limits.max_batch, Math.max(1, Math.floor(encoder.maxRows / input.mostRows)));
    this.head = encoder.weights.readAll('head');
    this.biases = encoder.weights.readAll('head_bias');
  }

  /** What a reply tells. */
  get facts() {
    return this.packed.encoder.facts;
  }

  async openGraphs() {
    return [this.packed.describeGraph()];
  }

  release() {
    return this.packed.release();
  }

  /**
   * @param {Float32Array[]} batch prepared pixels
   * @param {import('../graphs/results.js').Stopwatch} watch
   * @param {number[]} buckets where the batch's size is noted
   */
  async compute(batch, watch, buckets) {
    buckets.push(batch.length);
    const classes = this.biases.length;
    const logits = new Float32Array(batch.length * classes);
    await watch.time('compute_ms', async () => {
      for (const [row, vectors] of this.packed.encoder.run(batch, this.model).entries())
        this.#classify(vectors, logits.subarray(row * classes, (row + 1) * classes));
    });
    return { logits, classes };
  }

  /** @param {Float32Array} vectors the class token's first @param {Float32Array} logits */
  #classify(vectors, logits) {
    const { width } = this.packed.encoder.manifest.architecture;
    for (let index = 0; index < logits.length; index++) {
      let sum = this.biases[index] ?? 0;
      for (let column = 0; column < width; column++)
        sum += (this.head[index * width + column] ?? 0) * (vectors[column] ?? 0);
      logits[index] = sum;
    }
  }
}
