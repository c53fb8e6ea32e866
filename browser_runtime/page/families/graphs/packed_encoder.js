/** Opens encoders of 8-bit weights, which run on kernels of our own; what they are for is their family's. */
import { createEncoder } from '../../engines/low_bits/encoder.js';
import { namePart, takePart } from '../../engines/parts.js';
import { Fault } from '../../faults.js';
import { fetchFile, readPieces } from './model_files.js';

/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {import('../../engines/low_bits/encoder.js').Encoder} Encoder */

/** The name of the graph that a model of this kind has in the place of an ONNX file. */
export const PACKED_ENCODER = 'low_bits_encoder';

/**
 * The encoder, its weights loaded. Raises Unsupported on another backend than WASM, ModelFault, OutOfMemory.
 * @param {Opening} opening
 * @param {number} [maxTokens] of a text; left out for images
 */
export async function openPackedEncoder({ backend, model, options }, maxTokens) {
  if (backend !== 'wasm') {
    const why = 'its kernels are there for wasm alone';
    throw new Fault('Unsupported', `an encoder of 8 bits on ${backend}`, why);
  }
  const started = performance.now();
  const files = /** @type {import('../contract.js').GraphFiles} */ (model.graphs[PACKED_ENCODER]);
  const content = options.tensor_sharing === false ? undefined : files.content;
  const fetchShard = async function* (/** @type {string} */ name) {
    yield* readPieces(await fetchFile(model, files.weights[name] ?? name));
  };
  const part = namePart(backend, content, maxTokens === undefined ? 'images' : `${maxTokens} tokens`);
  const lease = await takePart(part, async () => {
    const manifest = await (await fetchFile(model, files.path)).json();
    return createEncoder(manifest, fetchShard, { model: model.name, maxTokens });
  });
  const loadMs = performance.now() - started;
  return new PackedEncoder(lease, { model: model.name, backend, content, part, loadMs });
}

/** A model's use of an encoder. */
export class PackedEncoder {
  /**
   * @param {import('../../engines/parts.js').Lease<Encoder>} lease
   * @param {{model: string, backend: string, content: string | undefined, part: string | null, loadMs: number}} opened
   */
  constructor(lease, { model, backend, content, part, loadMs }) {
    this.lease = lease;
    this.encoder = lease.part;
    this.loadMs = loadMs;
    this.part = part;
    /** Under which its results are shared. */
    this.shared = {
      key: content === undefined ? null : `${backend}|${content}`,
      model,
      graph: PACKED_ENCODER,
    };
  }

  /** @returns {import('../contract.js').Graph} the encoder, as a graph is described */
  describeGraph() {
    const { kernels, weight_bytes: weightBytes } = this.encoder.facts;
    const told = { kernel: kernels, loadMs: this.loadMs, compileMs: 0, weightBytes, placement: null };
    const parts = { precompiled: true, part: this.part, isShared: this.lease.isShared };
    return /** @type {import('../contract.js').Graph} */ (/** @type {unknown} */ ({ ...told, ...parts }));
  }

  async release() {
    await this.lease.release();
  }
}
