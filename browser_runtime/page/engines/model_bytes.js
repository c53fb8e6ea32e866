/**
 * A model's files, fetched into memory.
 */
import { Fault } from '../faults.js';

/** @typedef {{model: Uint8Array, external: {path: string, data: Uint8Array}[], sizeBytes: number, loadMs: number}} ModelBytes */

/**
 * The graph's file and its external weight files, and how long they took.
 * @param {{url?: string, bytes?: Uint8Array, externalData?: string[]}} source see graphs.js
 * @returns {Promise<ModelBytes>}
 */
export async function fetchModel({ url = '', bytes, externalData = [] }) {
  const started = performance.now();
  const base = new URL(url, self.location.href);
  const [model, ...weights] = await Promise.all([
    bytes ?? fetchBytes(base.href),
    ...externalData.map((path) => fetchBytes(new URL(path, base).href)),
  ]);
  const external = weights.map((data, index) => ({ path: externalData[index] ?? '', data }));
  const sizeBytes = weights.reduce((sum, data) => sum + data.byteLength, model.byteLength);
  return { model, external, sizeBytes, loadMs: performance.now() - started };
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
