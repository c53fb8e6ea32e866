/**
 * The files of a model folder, laid out as transformers.js wants them.
 */
import { fetchBytes } from '../engines/model_bytes.js';
import { Fault } from '../faults.js';

/** @typedef {import('./contract.js').Model} Model */
/** @typedef {import('../engines/model_bytes.js').Weights} Weights */

// transformers.js' names for the precisions; `_int8` is what older exports call `_quantized`.
/** @type {Record<string, string[]>} */
const SUFFIXES = { fp32: [''], fp16: ['_fp16'], int8: ['_quantized', '_int8'], q4: ['_q4'] };

/**
 * The bytes of the graph `stem` in `precision`, those of its weight files, and the time it took to fetch them.
 * Raises Unsupported naming the file when the model has none: another precision would be another model.
 * @param {Model} model
 * @param {string} stem "model", "encoder_model", ...
 * @param {string} precision
 * @returns {Promise<{bytes: Uint8Array, weights: Weights[], fetchMs: number}>}
 */
export async function fetchGraph(model, stem, precision) {
  const started = performance.now();
  const names = (SUFFIXES[precision] ?? []).map((suffix) => `onnx/${stem}${suffix}.onnx`);
  for (const name of names) {
    const response = await fetchFile(model, name);
    if (!response) continue;
    const bytes = new Uint8Array(await response.arrayBuffer());
    const weights = await Promise.all((model.weights[name] ?? []).map((path) => fetchWeights(model, path)));
    return { bytes, weights, fetchMs: performance.now() - started };
  }
  const wanted = names.join(' or ') || 'file of that name';
  throw new Fault('Unsupported', `precision ${precision} of ${model.name}`, `the model has no ${wanted}`);
}

/**
 * A weight file; graphs name it as it is called in their own folder.
 * @param {Model} model
 * @param {string} path in the model's folder
 * @returns {Promise<Weights>}
 */
async function fetchWeights(model, path) {
  const data = await fetchBytes(new URL(model.url + path, self.location.href).href);
  return { path: path.slice(path.lastIndexOf('/') + 1), data };
}

/**
 * The JSON file `name` of the model. Raises BadInput when there is none.
 * @param {Model} model
 * @param {string} name
 * @returns {Promise<Record<string, any>>}
 */
export async function fetchJson(model, name) {
  const response = await fetchFile(model, name);
  if (!response)
    throw new Fault('BadInput', `model ${model.name}`, `without ${name}`, 'a whole model folder');
  return response.json();
}

/**
 * @param {Model} model
 * @param {string} name
 * @returns {Promise<Response | null>} null when the server has no such file
 */
async function fetchFile(model, name) {
  const response = await fetch(model.url + name);
  if (response.ok) return response;
  if (response.status === 404) return null;
  throw new Error(`${model.url}${name} could not be fetched: status ${response.status}`);
}
