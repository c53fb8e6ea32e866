/**
 * The files of a model folder, laid out as transformers.js wants them.
 */
import { Fault } from '../faults.js';

/** @typedef {import('./contract.js').Model} Model */

// transformers.js' names for the precisions; `_int8` is what older exports call `_quantized`.
/** @type {Record<string, string[]>} */
const SUFFIXES = { fp32: [''], fp16: ['_fp16'], int8: ['_quantized', '_int8'], q4: ['_q4'] };

/**
 * The bytes of the graph `stem` in `precision`, and the time it took to fetch them.
 * Raises Unsupported naming the file when the model has none: another precision would be another model.
 * @param {Model} model
 * @param {string} stem "model", "encoder_model", ...
 * @param {string} precision
 * @returns {Promise<{bytes: Uint8Array, fetchMs: number}>}
 */
export async function fetchGraph(model, stem, precision) {
  const started = performance.now();
  const names = (SUFFIXES[precision] ?? []).map((suffix) => `onnx/${stem}${suffix}.onnx`);
  for (const name of names) {
    const response = await fetchFile(model, name);
    if (!response) continue;
    const bytes = new Uint8Array(await response.arrayBuffer());
    return { bytes, fetchMs: performance.now() - started };
  }
  const wanted = names.join(' or ') || 'file of that name';
  throw new Fault('Unsupported', `precision ${precision} of ${model.name}`, `the model has no ${wanted}`);
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
