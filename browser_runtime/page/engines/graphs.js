/**
 * An ONNX graph on exactly one backend, its steps timed apart: fetching, compiling, computing, reading back.
 */
import { Fault } from '../faults.js';
import { awaitGpu } from './devices.js';
import { listen, readPlacement } from './placement.js';
import { openRuntime } from './runtimes.js';

/** @typedef {import('onnxruntime-common').Tensor} Tensor */
/** @typedef {import('onnxruntime-common').InferenceSession} Session */
/** @typedef {Record<string, Tensor>} Tensors */
/** @typedef {import('./devices.js').Device} Device */
/**
 * @typedef {object} Source
 * @property {Device} device from openDevice: its backend is the one that must compute
 * @property {string} [url] where the .onnx file is
 * @property {Uint8Array} [bytes] the file itself, instead of `url`
 * @property {string[]} [externalData] names of weight files beside `url`, as the graph refers to them
 * @property {Record<string, number>} [freeDimensions] sizes for the graph's named dimensions; WebNN needs all
 * @property {boolean} [keepOnDevice] outputs stay device tensors, for another graph or shader
 * @property {boolean} [precompile] run once on zeros, so that every shader is compiled before the first request
 */

/** One opened graph; runs must not overlap. */
export class Graph {
  /**
   * @param {Session} session
   * @param {Device} device
   * @param {boolean} keepOnDevice
   * @param {Facts} facts
   */
  constructor(session, device, keepOnDevice, facts) {
    this.session = session;
    this.device = device;
    this.keepOnDevice = keepOnDevice;
    this.inputNames = session.inputNames;
    this.outputNames = session.outputNames;
    this.inputMetadata = session.inputMetadata;
    this.backend = device.backend;
    this.kernel = facts.kernel;
    this.loadMs = facts.loadMs;
    this.compileMs = facts.compileMs;
    this.weightBytes = facts.weightBytes;
    this.placement = facts.placement;
    this.precompiled = false;
    this.lastRun = { computeMs: 0, readbackMs: 0 };
  }

  /**
   * The outputs of one run by name: CPU tensors, or device tensors when `keepOnDevice`.
   * `lastRun` then holds the times; WebNN cannot tell computing from reading back, so all is computeMs there.
   * @param {Tensors} feeds
   * @returns {Promise<Tensors>}
   */
  async run(feeds) {
    const { gpu } = this.device;
    return gpu ? awaitGpu(gpu, this.#runOnGpu(gpu, feeds)) : this.#compute(feeds);
  }

  /** @param {Tensors} feeds @returns {Promise<Tensors>} */
  async #compute(feeds) {
    const started = performance.now();
    const outputs = /** @type {Tensors} */ (await this.session.run(feeds));
    this.lastRun = { computeMs: performance.now() - started, readbackMs: 0 };
    return outputs;
  }

  /** @param {GPUDevice} gpu @param {Tensors} feeds @returns {Promise<Tensors>} */
  async #runOnGpu(gpu, feeds) {
    const started = performance.now();
    const outputs = await this.#compute(feeds);
    if (this.keepOnDevice) return outputs;
    // Asked for before the copies are queued, so it fires when the graph itself is done.
    const computed = gpu.queue.onSubmittedWorkDone().then(() => performance.now());
    await Promise.all(Object.values(outputs).map((tensor) => tensor.getData(true)));
    const computedAt = await computed;
    this.lastRun = { computeMs: computedAt - started, readbackMs: performance.now() - computedAt };
    return outputs;
  }

  /** Frees the graph; the device stays. */
  async release() {
    await this.session.release();
  }
}

/** @typedef {{kernel: string, loadMs: number, compileMs: number, weightBytes: number, placement: import('./placement.js').Placement | null}} Facts */

/**
 * The graph from `url` or `bytes`, on `device` and nothing else. Raises Unsupported when it cannot run there.
 * @param {Source} source
 * @returns {Promise<Graph>}
 */
export async function openGraph(source) {
  const { device, keepOnDevice = false, precompile = false } = source;
  const { ort, build, version } = await openRuntime(device.backend);
  const files = await fetchFiles(source);
  const started = performance.now();
  const options = sessionOptions(source, files.external);
  const { made: session, lines } = await listen(() => ort.InferenceSession.create(files.model, options));
  const compileMs = performance.now() - started;
  const placement = readPlacement(lines);
  const kernel = `onnxruntime-web ${version} ${build} ${device.backend}`;
  const facts = { kernel, compileMs, placement, loadMs: files.loadMs, weightBytes: files.sizeBytes };
  const graph = new Graph(session, device, keepOnDevice, facts);
  try {
    checkShapes(graph);
    checkPlacement(graph);
    if (precompile) await runOnZeros(graph, ort);
  } catch (error) {
    await graph.release();
    throw error;
  }
  return graph;
}

/**
 * @param {Source} source
 * @param {{path: string, data: Uint8Array}[]} externalData
 * @returns {import('onnxruntime-common').InferenceSession.SessionOptions}
 */
function sessionOptions({ device, freeDimensions = {}, keepOnDevice = false }, externalData) {
  return {
    executionProviders: [provider(device)],
    freeDimensionOverrides: freeDimensions,
    preferredOutputLocation: outputLocation(device, keepOnDevice),
    externalData,
    // Verbose: the only place where onnxruntime tells which node runs where. `listen` keeps it off the console.
    logSeverityLevel: 0,
  };
}

/** @param {Device} device @returns {import('onnxruntime-common').InferenceSession.ExecutionProviderConfig} */
function provider({ backend, gpu, ml, mlDeviceType }) {
  if (backend === 'webgpu' && gpu) return { name: 'webgpu', device: gpu };
  if (backend === 'webnn' && ml) return { name: 'webnn', context: ml, deviceType: mlDeviceType };
  return 'wasm';
}

/** @param {Device} device @param {boolean} keepOnDevice @returns {'gpu-buffer' | 'ml-tensor' | 'cpu'} */
function outputLocation({ backend }, keepOnDevice) {
  // WebGPU outputs always stay on the device at first: that is how computing and reading back are told apart.
  if (backend === 'webgpu') return 'gpu-buffer';
  return backend === 'webnn' && keepOnDevice ? 'ml-tensor' : 'cpu';
}

/** @param {Source} source */
async function fetchFiles({ url = '', bytes, externalData = [] }) {
  const started = performance.now();
  const model = bytes ?? (await fetchBytes(url));
  const external = await Promise.all(
    externalData.map(async (path) => ({
      path,
      data: await fetchBytes(new URL(path, new URL(url, self.location.href)).href),
    })),
  );
  const sizeBytes = external.reduce((sum, file) => sum + file.data.byteLength, model.byteLength);
  return { model, external, sizeBytes, loadMs: performance.now() - started };
}

/** @param {string} url @returns {Promise<Uint8Array>} */
async function fetchBytes(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Fault('UnknownModel', url, `the server answers ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Raises Unsupported when a WebNN graph has an input whose size is not known: it would run 12 times slower. @param {Graph} graph */
function checkShapes(graph) {
  if (graph.backend !== 'webnn') return;
  for (const input of graph.inputMetadata) {
    const free = input.isTensor ? input.shape.filter((size) => !isSize(size)) : [];
    if (free.length > 0) {
      throw new Fault(
        'Unsupported',
        'a WebNN graph with free dimensions',
        `input ${input.name} leaves ${free.join(', ')} open`,
      );
    }
  }
}

/** @param {number | string} size @returns {size is number} */
const isSize = (size) => typeof size === 'number' && size >= 0;

/** Raises Unsupported when not one node runs on the backend that was asked for. @param {Graph} graph */
function checkPlacement(graph) {
  if (graph.placement && !graph.placement[graph.backend]) {
    throw new Fault('Unsupported', graph.backend, 'onnxruntime placed no node of this graph there');
  }
}

/**
 * Compiles every shader by one run on zeros; free dimensions count 1. Raises whatever that run raises.
 * @param {Graph} graph
 * @param {import('./runtimes.js').Ort} ort
 */
async function runOnZeros(graph, ort) {
  const started = performance.now();
  const feeds = Object.fromEntries(graph.inputMetadata.map((input) => [input.name, zeros(input, ort)]));
  disposeAll(await graph.run(feeds));
  graph.compileMs += performance.now() - started;
  graph.precompiled = true;
}

/**
 * @param {import('onnxruntime-common').InferenceSession.ValueMetadata} input
 * @param {import('./runtimes.js').Ort} ort
 * @returns {Tensor}
 */
function zeros(input, ort) {
  if (!input.isTensor) throw new Fault('Unsupported', `input ${input.name}`, 'it is not a tensor');
  const dims = input.shape.map((size) => (isSize(size) ? size : 1));
  const count = dims.reduce((product, size) => product * size, 1);
  const Numbers = ARRAYS[input.type];
  if (!Numbers) throw new Fault('Unsupported', `input ${input.name}`, `no array type for ${input.type}`);
  return new ort.Tensor(input.type, /** @type {any} */ (new Numbers(count)), dims);
}

/** @type {Partial<Record<import('onnxruntime-common').Tensor.Type, new (length: number) => ArrayBufferView>>} */
const ARRAYS = {
  float32: Float32Array,
  float16: Uint16Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/** Frees tensors wherever they are. @param {Tensors} tensors */
export function disposeAll(tensors) {
  for (const tensor of Object.values(tensors)) tensor.dispose();
}
