/**
 * The onnxruntime-web builds of this lane, each opened once, with the transformers.js bound to it.
 *
 * The plain build is the smallest and needs no stack switching, so wasm uses it. WebGPU and WebNN need a build
 * that can wait inside a run: JSPI where the browser has it (16 MB), else Asyncify (26 MB, slower code).
 */
import { tapConsole } from './placement.js';

/** @typedef {typeof import('onnxruntime-common')} Ort */
/** @typedef {typeof import('@huggingface/transformers')} Transformers */
/** @typedef {'webgpu' | 'webnn' | 'wasm'} Backend */
/** @typedef {'wasm' | 'jspi' | 'asyncify'} Build */
/** @typedef {{ort: Ort, build: Build, version: string}} Runtime */

const SCRIPTS = { wasm: 'ort.wasm.min.mjs', jspi: 'ort.jspi.min.mjs', asyncify: 'ort.webgpu.min.mjs' };

/** @type {Map<Build, Promise<Runtime>>} */
const opened = new Map();
/** @type {Map<Build, Promise<Transformers>>} */
const bound = new Map();
let threads = 1;

/**
 * Sets how many WASM threads the runtimes opened from now on use.
 * @param {number} count
 */
export function setThreads(count) {
  threads = count;
}

/**
 * The build that serves `backend` best in this browser.
 * @param {Backend} backend
 * @param {boolean} [hasJspi] whether WebAssembly can suspend on a promise
 * @returns {Build}
 */
export function chooseBuild(backend, hasJspi = 'Suspending' in WebAssembly) {
  if (backend === 'wasm') return 'wasm';
  return hasJspi ? 'jspi' : 'asyncify';
}

/**
 * The onnxruntime-web that serves `backend`, its binary not loaded before the first graph.
 * @param {Backend} backend
 * @returns {Promise<Runtime>}
 */
export function openRuntime(backend) {
  const build = chooseBuild(backend);
  const runtime = opened.get(build) ?? importRuntime(build);
  opened.set(build, runtime);
  return runtime;
}

/**
 * transformers.js bound to the same onnxruntime-web as `openRuntime(backend)`, which reads no files of a model: they are the worker's.
 * @param {Backend} backend
 * @returns {Promise<Transformers>}
 */
export function openTransformers(backend) {
  const build = chooseBuild(backend);
  const transformers = bound.get(build) ?? importTransformers(backend, build);
  bound.set(build, transformers);
  return transformers;
}

/** @param {Build} build @returns {string} */
const folder = (build) => new URL(`../vendor/${build}/`, import.meta.url).href;

/** @param {Build} build @returns {Promise<Runtime>} */
async function importRuntime(build) {
  // Emscripten binds console's methods when it starts: the tap must be there before.
  tapConsole();
  /** @type {Ort} */
  const ort = await import(folder(build) + SCRIPTS[build]);
  ort.env.wasm.wasmPaths = folder(build);
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threads : 1;
  ort.env.logLevel = 'error';
  return { ort, build, version: ort.env.versions.web ?? ort.env.versions.common };
}

/** @param {Backend} backend @param {Build} build @returns {Promise<Transformers>} */
async function importTransformers(backend, build) {
  const { ort } = await openRuntime(backend);
  const { wasmPaths, numThreads } = ort.env.wasm;
  /** @type {Transformers} */
  const transformers = await import(`${folder(build)}transformers.js`);
  transformers.env.allowRemoteModels = false;
  transformers.env.allowLocalModels = false;
  transformers.env.useBrowserCache = false;
  // transformers.js points onnxruntime at a CDN while it is imported: back to our own files.
  Object.assign(ort.env.wasm, { wasmPaths, numThreads });
  return transformers;
}
