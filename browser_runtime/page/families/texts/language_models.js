/**
 * Opens a language model on the engine that its files are for: weights of few bits on kernels of our own, ONNX graphs on
 * onnxruntime.
 */
import { parseCacheBits } from '../../engines/low_bits/cache.js';
import { openModel } from '../../engines/low_bits/model.js';
import { openBackend } from '../../engines/low_bits/variants.js';
import { Weights } from '../../engines/low_bits/weights.js';
import { namePart, takePart } from '../../engines/parts.js';
import { Fault } from '../../faults.js';
import { nameCache } from '../graphs/kv_cache.js';
import { fetchFile, readPieces } from '../graphs/model_files.js';
import { GraphSource } from '../graphs/model_graphs.js';
import { listParts } from '../graphs/ready.js';
import { LanguageGraph } from './language_graph.js';

/** @typedef {import('../contract.js').Opening} Opening */
/**
 * @typedef {object} Opened
 * @property {import('../../engines/low_bits/model.js').LowBitsModel | LanguageGraph} model
 * @property {string} kernel
 * @property {number} loadMs
 * @property {number} compileMs
 * @property {number} weightBytes
 * @property {import('../contract.js').Ready['placement']} placement
 * @property {import('../contract.js').Ready['parts']} parts
 * @property {Record<string, unknown>} details
 */

// What the low-bit engine gives a text at most; a cache of a graph may take as much.
const MAX_CONTEXT = 2048;
const GRAPHS = ['model', 'decoder_model_merged'];

/**
 * The model, its weights loaded. Raises what its engine raises.
 * @param {Opening} opening
 * @returns {Promise<Opened>}
 */
export async function openLanguageModel(opening) {
  const stem = GRAPHS.find((name) => name in opening.model.graphs);
  return stem === undefined ? openPacked(opening) : openGraph(opening, stem);
}

/** @param {Opening} opening @returns {Promise<Opened>} */
async function openPacked({ backend, model, options, kept }) {
  const started = performance.now();
  const files = /** @type {import('../contract.js').GraphFiles} */ (model.graphs.low_bits);
  const part = namePart(backend, options.tensor_sharing === false ? undefined : files.content, 'low_bits');
  const lease = await takePart(part, async () => {
    const manifest = await (await fetchFile(model, files.path)).json();
    const { backend: kernels, measured, before } = await openBackend(backend, kept);
    const weights = await Weights.layOut(kernels, manifest, model.name);
    return Object.assign(weights, { measured, before });
  });
  const { measured, before } = lease.part;
  const compiled = performance.now();
  const fetchShard = async function* (/** @type {string} */ name) {
    yield* readPieces(await fetchFile(model, files.weights[name] ?? name));
  };
  const opened = await openModel(lease, fetchShard, {
    model: model.name,
    kv: parseCacheBits(options.kv_cache ?? '16'),
    slots: model.limits.max_batch,
    cacheBytes: model.limits.cache_bytes,
  });
  const { facts } = opened;
  const weightBytes = facts.weight_bytes;
  return {
    model: opened,
    kernel: facts.kernels,
    loadMs: performance.now() - compiled,
    compileMs: compiled - started,
    weightBytes,
    placement: null,
    parts: listParts([{ part, weightBytes, isShared: lease.isShared }]),
    details: { ...facts, measured, measured_before: before || lease.isShared },
  };
}

/** @param {Opening} opening @param {string} stem @returns {Promise<Opened>} */
async function openGraph(opening, stem) {
  const { backend, model, options, realm } = opening;
  if (options.kv_cache !== undefined) {
    const allowed = `left out: the model runs as ${stem}.onnx, which cannot change it`;
    throw new Fault('BadInput', 'options.kv_cache', options.kv_cache, allowed);
  }
  if (backend === 'webnn') {
    const why = 'its graphs grow by a token a step, and WebNN takes static shapes only';
    throw new Fault('Unsupported', 'text generation on webnn', why);
  }
  const source = new GraphSource(opening, stem);
  const keepOnDevice = backend === 'webgpu' ? nameCache(Object.keys(await source.readShapes())) : false;
  const weightBits = await source.readWeightBits();
  const graph = await source.open({ keepOnDevice });
  const embedding = 'embed_tokens' in model.graphs ? await openEmbedding(opening, graph) : null;
  const sizes = {
    context: Math.min(Number(model.settings.max_positions), MAX_CONTEXT),
    slots: model.limits.max_batch,
    weightBits,
  };
  try {
    const opened = new LanguageGraph(graph, realm.ort, sizes, embedding);
    return {
      model: opened,
      kernel: graph.kernel,
      loadMs: graph.loadMs,
      compileMs: graph.compileMs,
      weightBytes: opened.facts.weight_bytes,
      placement: graph.placement,
      parts: listParts(embedding ? [graph, embedding] : [graph]),
      details: opened.facts,
    };
  } catch (error) {
    await Promise.all([graph.release(), embedding?.release()]);
    throw error;
  }
}

/**
 * The graph that makes the rows of tokens. @param {Opening} opening
 * @param {import('../contract.js').Graph} graph released where it fails
 */
async function openEmbedding(opening, graph) {
  try {
    return await new GraphSource(opening, 'embed_tokens').open({});
  } catch (error) {
    await graph.release();
    throw error;
  }
}
