/**
 * A model's file, fetched into memory.
 */
import { Fault } from '../faults.js';

/** @typedef {{path: string, data: Uint8Array}} Weights a file beside the graph, under the name the graph has for it */
/** @typedef {{bytes: Uint8Array, weights: Weights[], fetchMs: number}} ModelFiles a graph's file and those of its weights */
/** @typedef {{model: Uint8Array, weights: Weights[], sizeBytes: number, loadMs: number}} ModelBytes */

/**
 * The graph's file and its weight files, how large they are together, and how long the fetching took.
 * @param {{url?: string, bytes?: Uint8Array, weights?: Weights[], read?: () => Promise<ModelFiles>}} source see graphs.js
 * @returns {Promise<ModelBytes>}
 */
export async function fetchModel(source) {
  const { bytes: model, weights, fetchMs: loadMs } = await (source.read ?? (() => readSource(source)))();
  const sizeBytes = weights.reduce((sum, { data }) => sum + data.byteLength, model.byteLength);
  return { model, weights, sizeBytes, loadMs };
}

/**
 * @param {{url?: string, bytes?: Uint8Array, weights?: Weights[]}} source
 * @returns {Promise<ModelFiles>}
 */
async function readSource({ url = '', bytes, weights = [] }) {
  const started = performance.now();
  const model = bytes ?? (await fetchBytes(new URL(url, self.location.href).href));
  return { bytes: model, weights, fetchMs: performance.now() - started };
}

/**
 * The bytes at `url`. Raises UnknownModel when the server has no such file.
 * @param {string} url
 * @returns {Promise<Uint8Array>}
 */
export async function fetchBytes(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Fault('UnknownModel', url, `the server answers ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}
