/**
 * A model's graphs, opened from its folder: one for every shape, or on WebNN one for each static shape bucket.
 */
import { bindDimensions, readInputShapes } from './dimension_names.js';
import { GraphCache } from './graph_cache.js';
import { fetchGraph } from './model_files.js';

/** @typedef {import('./contract.js').Graph} Graph */
/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./contract.js').Backend} Backend */
/** @typedef {Record<string, number[]>} Shapes sizes by input name */
/**
 * @typedef {object} Choice
 * @property {string} stem "model", "encoder_model", ...
 * @property {Backend} [backend] another than the opening's: for a part that cannot run there
 * @property {Shapes} [shapes] static input sizes; the dimensions stay free without them
 * @property {boolean | string[]} [keepOnDevice]
 */

/**
 * The graph on the backend; its `loadMs` covers the fetching. Raises Unsupported where a name that `shapes` needs
 * is missing.
 * @param {Opening} opening
 * @param {Choice} choice
 * @returns {Promise<Graph>}
 */
export async function openModelGraph(opening, choice) {
  const { model, realm } = opening;
  const { stem, backend = opening.backend, shapes, keepOnDevice = false } = choice;
  const { bytes, weights, fetchMs } = await fetchGraph(model, stem);
  const graph = await realm.openGraph({
    device: await realm.openDevice(backend),
    names: { model: model.name, graph: `${stem}.onnx` },
    bytes,
    weights,
    freeDimensions: shapes ? bindKnown(bytes, shapes) : {},
    allowFree: opening.options.dynamic_shapes === true,
    keepOnDevice,
  });
  graph.loadMs += fetchMs;
  return graph;
}

/**
 * The model's graphs by input shapes. Without static shapes there is one graph for all shapes, whatever is asked for.
 * @param {Opening} opening
 * @param {number} limit static graphs kept at once
 * @returns {GraphCache}
 */
export function shelveGraphs(opening, limit) {
  const isStatic = usesStaticShapes(opening);
  return new GraphCache(
    (shapes) => openModelGraph(opening, { stem: 'model', shapes: isStatic ? shapes : undefined }),
    (shapes) => (isStatic ? JSON.stringify(shapes) : 'any shape'),
    limit,
  );
}

/**
 * Whether a model is compiled for each shape bucket: on WebNN, unless somebody measures what that brings.
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
