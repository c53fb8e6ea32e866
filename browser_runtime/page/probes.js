/**
 * Proves the backends of this browser: each counts only when a small graph gave the right numbers on it.
 */
import { describe, Fault } from './faults.js';
import { proveWasm } from './probes/wasm.js';
import { proveWebGpu } from './probes/webgpu.js';
import { proveWebNn } from './probes/webnn.js';

/** @typedef {Record<string, unknown> & {reason: string}} Proof `reason` is empty when the numbers were right */

// SwiftShader needs 1-2 s for its first pipeline on a busy machine; a driver that hangs must not hold the lane.
const LIMIT_MS = 20_000;
const MANIFEST = new URL('./vendor/manifest.json', import.meta.url);

/**
 * The capabilities of this browser, as README.md lists them.
 * @returns {Promise<Record<string, unknown>>}
 */
export async function probe() {
  // Together: two of the three wait for another process most of the time.
  const [webgpu, webnn, wasm, versions] = await Promise.all([
    examine('gpu' in navigator, proveWebGpu),
    examine('ml' in navigator, proveWebNn),
    examine('WebAssembly' in globalThis, proveWasm),
    readVersions(),
  ]);
  return {
    webgpu,
    webnn,
    wasm,
    cross_origin_isolated: self.crossOriginIsolated,
    versions,
  };
}

/**
 * @param {boolean} supported whether the interface is there
 * @param {() => Promise<Proof>} prove
 * @param {number} [limitMs]
 */
export async function examine(supported, prove, limitMs = LIMIT_MS) {
  const started = performance.now();
  const proof = supported ? await settle(prove, limitMs) : { reason: 'this browser has no such interface' };
  return { supported, proved: supported && proof.reason === '', ...proof, ms: performance.now() - started };
}

/** @param {() => Promise<Proof>} prove @param {number} limitMs @returns {Promise<Proof>} */
async function settle(prove, limitMs) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, limitMs, { reason: `it gave no answer within ${limitMs / 1000} s` });
  });
  const told = (/** @type {unknown} */ error) => ({
    reason: error instanceof Fault ? String(error.args.at(-1)) : describe(error),
  });
  const proof = await Promise.race([prove().catch(told), late]);
  clearTimeout(timer);
  return /** @type {Proof} */ (proof);
}

/** @returns {Promise<Record<string, string>>} */
async function readVersions() {
  const { versions } = await (await fetch(MANIFEST)).json();
  return {
    transformers: versions['@huggingface/transformers'],
    onnxruntime_web: versions['onnxruntime-web'],
  };
}
