/**
 * A model's graphs, opened from its folder: one for every shape, or on WebNN one for each static shape bucket.
 */
import { bindDimensions, readInputShapes } from './dimension_names.js';
import { GraphCache } from './graph_cache.js';
import { fetchGraph } from './model_files.js';
import { readWeightBits } from './weight_bits.js';

/** @typedef {import('../contract.js').Graph} Graph */
/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {import('../contract.js').Backend} Backend */
/** @typedef {Record<string, number[]>} Shapes sizes by input name */
/**
 * @typedef {object} Choice
 * @property {Backend} [backend] another than the opening's: for a part that cannot run there
 * @property {Shapes} [shapes] static input sizes; the dimensions stay free without them
 * @property {boolean | string[]} [keepOnDevice]
 */

/** One graph of a model, whose file can be looked into before it is opened. */
export class GraphSource {
  #opening;
  #stem;
  /** @type {ReturnType<typeof fetchGraph> | null} fetched to be looked into, and kept for the opening that follows */
  #fetched = null;

  /**
   * @param {Opening} opening
   * @param {string} stem "model", "encoder_model", ...
   */
  constructor(opening, stem) {
    this.#opening = opening;
    this.#stem = stem;
  }

  /** Each input's declared shape, by input name. */
  async readShapes() {
    this.#fetched ??= fetchGraph(this.#opening.model, this.#stem);
    return readInputShapes((await this.#fetched).bytes);
  }

  /** The numbers of bits that its matrices have. */
  async readWeightBits() {
    this.#fetched ??= fetchGraph(this.#opening.model, this.#stem);
    return readWeightBits((await this.#fetched).bytes);
  }

  /**
   * The graph on the backend; its `loadMs` covers the fetching. Raises Unsupported where a name that `shapes` needs
   * is missing.
   * @param {Choice} choice
   * @returns {Promise<Graph>}
   */
  async open({ backend = this.#opening.backend, shapes, keepOnDevice = false }) {
    const { model, realm, options } = this.#opening;
    const fetched = this.#fetched ?? fetchGraph(model, this.#stem);
    this.#fetched = null;
    const { bytes, weights, fetchMs } = await fetched;
    const graph = await realm.openGraph({
      device: await realm.openDevice(backend),
      names: { model: model.name, graph: `${this.#stem}.onnx` },
      bytes,
      weights,
      freeDimensions: shapes ? bindKnown(bytes, shapes) : {},
      allowFree: options.dynamic_shapes === true,
      keepOnDevice,
    });
    graph.loadMs += fetchMs;
    return graph;
  }
}

/**
 * The model's graphs by input shapes. Without static shapes there is one graph for all shapes, whatever is asked for.
 * @param {Opening} opening
 * @param {GraphSource} source
 * @returns {GraphCache}
 */
export function cacheGraphs(opening, source) {
  const isStatic = usesStaticShapes(opening);
  return new GraphCache(
    (shapes) => source.open({ shapes: isStatic ? shapes : undefined }),
    (shapes) => (isStatic ? JSON.stringify(shapes) : 'any shape'),
    opening.model.limits.max_static_graphs,
  );
}

/**
 * True if a model is compiled for each shape bucket: on WebNN, unless `dynamic_shapes` is on for a measurement.
 * @param {Opening} opening
 */
export function usesStaticShapes({ backend, options }) {
  return backend === 'webnn' && options.dynamic_shapes !== true;
}

/**
 * `shapes` by the file's own dimension names; an input that the graph does not take is left out.
 * @param {Uint8Array} bytes
 * @param {Shapes} shapes
 */
function bindKnown(bytes, shapes) {
  const declared = readInputShapes(bytes);
  const taken = Object.entries(shapes).filter(([input]) => declared[input]);
  return bindDimensions(declared, Object.fromEntries(taken));
}
