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

/**
 * What files say of themselves, by what is asked and their content: a file whose graph is open is not fetched again.
 * @type {Map<string, Promise<any>>}
 */
const known = new Map();

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

  /** The hash of its files where models may share them; undefined otherwise. */
  get content() {
    const { model, options } = this.#opening;
    return options.tensor_sharing === false ? undefined : model.graphs[this.#stem]?.content;
  }

  /**
   * Each input's declared shape, by input name.
   * @returns {Promise<Record<string, import('./dimension_names.js').Shape>>}
   */
  readShapes() {
    return this.#look('shapes', readInputShapes);
  }

  /**
   * The numbers of bits that its matrices have.
   * @returns {Promise<number[]>}
   */
  readWeightBits() {
    return this.#look('bits', readWeightBits);
  }

  /**
   * The graph on the backend; its `loadMs` covers the fetching. Raises Unsupported where a name that `shapes` needs
   * is missing.
   * @param {Choice} choice
   * @returns {Promise<Graph>}
   */
  async open({ backend = this.#opening.backend, shapes, keepOnDevice = false }) {
    const { model, realm, options } = this.#opening;
    const freeDimensions = shapes ? bindKnown(await this.readShapes(), shapes) : {};
    const fetched = this.#fetched ?? this.#takeFetched();
    this.#fetched = null;
    return realm.openGraph({
      device: await realm.openDevice(backend),
      names: { model: model.name, graph: `${this.#stem}.onnx` },
      content: this.content,
      read: () => fetched ?? fetchGraph(model, this.#stem),
      freeDimensions,
      allowFree: options.dynamic_shapes === true,
      layout: /** @type {'NCHW' | 'NHWC' | undefined} */ (options.layout),
      keepOnDevice,
    });
  }

  /**
   * @param {string} what
   * @param {(bytes: Uint8Array) => any} read
   */
  #look(what, read) {
    const { url, graphs } = this.#opening.model;
    const key = `${what} ${this.content ?? `${url}${graphs[this.#stem]?.path}`}`;
    const looked = known.get(key) ?? this.#fetch().then(({ bytes }) => read(bytes));
    known.set(key, looked);
    looked.catch(() => known.delete(key));
    return looked;
  }

  #fetch() {
    this.#fetched ??= this.#takeFetched() ?? fetchGraph(this.#opening.model, this.#stem);
    return this.#fetched;
  }

  /** Its files where they are on their way, given once: afterwards nothing here holds them. */
  #takeFetched() {
    const { fetched } = this.#opening;
    const found = fetched?.get(this.#stem) ?? null;
    fetched?.delete(this.#stem);
    return found;
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
 * @param {Record<string, import('./dimension_names.js').Shape>} declared
 * @param {Shapes} shapes
 */
function bindKnown(declared, shapes) {
  const taken = Object.entries(shapes).filter(([input]) => declared[input]);
  return bindDimensions(declared, Object.fromEntries(taken));
}
