/**
 * The files of a model: the worker names them, the page fetches those and no others.
 */
import { Fault } from '../../faults.js';

/** @typedef {import('../contract.js').Model} Model */
/** @typedef {import('../../engines/model_bytes.js').Weights} Weights */

/**
 * The bytes of the graph `stem`, those of its weight files, and the time it took to fetch them.
 * @param {Model} model
 * @param {string} stem "model", "encoder_model", ...
 * @returns {Promise<{bytes: Uint8Array, weights: Weights[], fetchMs: number}>}
 */
export async function fetchGraph(model, stem) {
  const started = performance.now();
  const files = model.graphs[stem];
  if (!files) throw new Error(`the worker named no graph ${stem} for ${model.name}`);
  const fetchWeights = async (/** @type {[string, string]} */ [name, path]) => ({
    path: name,
    data: await fetchBytes(model, path),
  });
  const [bytes, ...weights] = await Promise.all([
    fetchBytes(model, files.path),
    ...Object.entries(files.weights).map(fetchWeights),
  ]);
  return { bytes, weights, fetchMs: performance.now() - started };
}

/**
 * Begins to fetch every ONNX graph of a model, by stem; undefined where there are not two to fetch.
 * @param {Model} model
 * @param {(content: string | undefined) => boolean} isOpen true for a graph that need not be fetched
 */
export function fetchGraphs(model, isOpen) {
  const stems = Object.entries(model.graphs).filter(
    ([, { path, content }]) => path.endsWith('.onnx') && !isOpen(content),
  );
  if (stems.length < 2) return undefined;
  const fetched = new Map(stems.map(([stem]) => [stem, fetchGraph(model, stem)]));
  // Who opens the graph meets its failure.
  for (const files of fetched.values()) files.catch(() => {});
  return fetched;
}

/**
 * @param {Model} model
 * @param {string} path
 */
async function fetchBytes(model, path) {
  return new Uint8Array(await (await fetchFile(model, path)).arrayBuffer());
}

/**
 * The server's answer with the file. Raises BadRequest when it has none: the model is damaged.
 * @param {Model} model
 * @param {string} path in the model's folder
 * @returns {Promise<Response>}
 */
export async function fetchFile(model, path) {
  const response = await fetch(model.url + path.split('/').map(encodeURIComponent).join('/'));
  if (response.ok) return response;
  throw new Fault('BadRequest', `model ${model.name} lacks ${path}: its server answers ${response.status}`);
}

/** The body in pieces, as they come. @param {Response} response */
export async function* readPieces(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
}
