/**
 * An ONNX graph on exactly one backend, its steps timed apart: fetching, compiling, computing, reading back.
 */
import { describe, endsLane, Fault, guardGraph } from '../faults.js';
import { awaitGpu, findLoss } from './devices.js';
import { checkPlacement, checkShapes } from './graph_checks.js';
import { fetchModel } from './model_bytes.js';
import { namePart, takePart } from './parts.js';
import { listen, readPlacement } from './placement.js';
import { openRuntime } from './runtimes.js';

/** @typedef {import('onnxruntime-common').Tensor} Tensor */
/** @typedef {import('onnxruntime-common').InferenceSession} Session */
/** @typedef {import('onnxruntime-common').InferenceSession.SessionOptions} SessionOptions */
/** @typedef {Record<string, Tensor>} Tensors */
/** @typedef {import('./devices.js').Device} Device */
/**
 * @typedef {object} Source
 * @property {Device} device from openDevice: its backend is the one that must compute
 * @property {{model: string, graph: string}} [names] what an error calls it; the file's address by default
 * @property {string} [content] the hash of the graph with its weights: graphs of one content are opened once
 * @property {string} [url] where the .onnx file is
 * @property {Uint8Array} [bytes] the file itself, instead of `url`
 * @property {import('./model_bytes.js').Weights[]} [weights] what the graph keeps in other files
 * @property {() => Promise<import('./model_bytes.js').ModelFiles>} [read] gives bytes and weights, where they are needed
 * @property {Record<string, number>} [freeDimensions] sizes for the graph's named dimensions; WebNN needs all
 * @property {boolean} [allowFree] let a WebNN graph keep free dimensions: only to measure what they cost
 * @property {boolean | string[]} [keepOnDevice] outputs that stay device tensors, for another graph or shader:
 *   all of them, or these
 * @property {'NCHW' | 'NHWC' | undefined} [layout] of WebGPU's convolutions
 */
/** @typedef {{model: string, graph: string}} Names */
/** @typedef {{kernel: string, loadMs: number, compileMs: number, weightBytes: number, placement: import('./placement.js').Placement | null}} Facts */
/** @typedef {import('./parts.js').Part & {session: Session, facts: Facts, last: Promise<unknown>}} Opened a session, and the end of its latest run */
/** @typedef {import('./parts.js').Lease<Opened>} Lease */

/** True once an engine of this lane has crashed: what is open on it can be neither used nor freed. */
let crashed = false;

/**
 * `guardGraph`, and from a crash on nothing is asked of onnxruntime any more. Whatever fails of a device that is lost,
 * an engine that crashes included, fails with DeviceLost.
 * @template T
 * @param {import('../faults.js').GraphStep} step
 * @param {Device} device
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function guard(step, device, work) {
  try {
    return await guardGraph(step, work);
  } catch (error) {
    crashed ||= endsLane(error);
    const isLikely = endsLane(error) || (error instanceof Fault && error.code === 'DeviceLost');
    const loss = await findLoss(device, isLikely);
    throw loss === null ? error : causedBy(error, loss);
  }
}

/** The loss of a device that `error` came of. @param {unknown} error @param {string} loss */
function causedBy(error, loss) {
  const fault = new Fault('DeviceLost', '', `${loss} (${describe(error)})`);
  fault.endsEngine = endsLane(error);
  return fault;
}

/** A graph as one model uses it; its session may be that of other models too, and then takes their runs in turn. */
export class Graph {
  #lease;
  #device;
  #names;
  /** @type {string[]} */
  #readBack;

  /**
   * @param {Lease} lease
   * @param {Source} source
   * @param {string | null} part the name of what it may share
   */
  constructor(lease, { device, names, url, keepOnDevice = false }, part) {
    const { session, facts } = lease.part;
    this.#lease = lease;
    this.#device = device;
    this.#names = nameGraph({ names, url });
    this.#readBack = session.outputNames.filter((name) => !isKept(name, keepOnDevice));
    this.inputNames = session.inputNames;
    this.outputNames = session.outputNames;
    this.inputMetadata = session.inputMetadata;
    this.outputMetadata = session.outputMetadata;
    this.model = this.#names.model;
    this.backend = device.backend;
    this.kernel = facts.kernel;
    /** Times of opening; none for a session that was open already. */
    this.loadMs = lease.isShared ? 0 : facts.loadMs;
    this.compileMs = lease.isShared ? 0 : facts.compileMs;
    this.weightBytes = facts.weightBytes;
    this.part = part;
    this.isShared = lease.isShared;
    /** Nodes by the backend that runs them; null when onnxruntime did not tell. */
    this.placement = facts.placement;
    this.lastRun = { computeMs: 0, readbackMs: 0 };
  }

  /**
   * The outputs of one run by name: CPU tensors, save those that `keepOnDevice` named.
   *
   * `lastRun` then holds the times. WebNN cannot tell computing from reading back: computeMs holds both there.
   * When all stays on the GPU, computeMs ends with the submission: nobody waited for the GPU.
   * Raises ModelFault where the graph cannot run on `feeds`, BackendFault where its engine crashes.
   * @param {Tensors} feeds
   * @returns {Promise<Tensors>}
   */
  async run(feeds) {
    const opened = this.#lease.part;
    const mine = opened.last.then(() => this.#runAlone(feeds));
    opened.last = mine.catch(() => {});
    return mine;
  }

  /** Frees the graph with its last user; the device stays. What a crash left is freed with the lane. */
  async release() {
    if (crashed) return;
    const free = () => this.#lease.release();
    await guard({ doing: 'releasing', ...this.#names, backend: this.backend }, this.#device, free);
  }

  /** @param {Tensors} feeds */
  #runAlone(feeds) {
    const { gpu } = this.#device;
    const run = () => (gpu ? awaitGpu(gpu, this.#runOnGpu(gpu, feeds)) : this.#compute(feeds));
    return guard({ doing: 'running', ...this.#names, backend: this.backend }, this.#device, run);
  }

  /** @param {Tensors} feeds @returns {Promise<Tensors>} */
  async #compute(feeds) {
    const started = performance.now();
    const outputs = /** @type {Tensors} */ (await this.#lease.part.session.run(feeds));
    this.lastRun = { computeMs: performance.now() - started, readbackMs: 0 };
    return outputs;
  }

  /** @param {GPUDevice} gpu @param {Tensors} feeds @returns {Promise<Tensors>} */
  async #runOnGpu(gpu, feeds) {
    const started = performance.now();
    const outputs = await this.#compute(feeds);
    if (this.#readBack.length === 0) return outputs;
    // Asked for before the copies are queued, so it fires when the graph itself is done.
    const computed = gpu.queue.onSubmittedWorkDone().then(() => performance.now());
    await Promise.all(this.#readBack.map((name) => outputs[name]?.getData(true)));
    const computedAt = await computed;
    this.lastRun = { computeMs: computedAt - started, readbackMs: performance.now() - computedAt };
    return outputs;
  }
}

/** @param {string} name @param {boolean | string[]} keepOnDevice */
const isKept = (name, keepOnDevice) =>
  Array.isArray(keepOnDevice) ? keepOnDevice.includes(name) : keepOnDevice;

/**
 * The graph of `source`, on its device and nothing else. Raises Unsupported or BackendFault when it cannot
 * run there, ModelFault when it can run nowhere.
 * @param {Source} source
 * @returns {Promise<Graph>}
 */
export async function openGraph(source) {
  const part = nameSession(source);
  const lease = await takePart(part, () => openSession(source));
  return new Graph(lease, source, part);
}

/**
 * A name that is equal for sources whose sessions are the same; null for one that is shared with nobody.
 * @param {Source} source
 */
function nameSession(source) {
  const { device, content, freeDimensions = {}, allowFree = false, keepOnDevice = false } = source;
  const { layout } = source;
  const sizes = Object.entries(freeDimensions).toSorted(([one], [other]) => (one < other ? -1 : 1));
  // Only WebNN is told when a session is made where its outputs go.
  const places = device.backend === 'webnn' ? keepOnDevice : false;
  const how = layout ? [layout] : [];
  return namePart(device.backend, content, JSON.stringify([sizes, allowFree, places, ...how]));
}

/** @param {{names?: Names, url?: string}} source @returns {Names} */
const nameGraph = ({ names, url }) => names ?? { model: 'without a name', graph: url ?? 'bytes' };

/** @param {Source} source @returns {Promise<Opened>} */
async function openSession(source) {
  const { device } = source;
  const { ort, build, version } = await openRuntime(device.backend);
  const { model, weights, loadMs, sizeBytes } = await fetchModel(source);
  const options = { ...sessionOptions(source), externalData: weights };
  const create = () => ort.InferenceSession.create(model, options);
  const started = performance.now();
  const step = /** @type {const} */ ({ doing: 'opening', ...nameGraph(source), backend: device.backend });
  const { made: session, lines } = await listen(() => guard(step, device, create));
  const facts = {
    kernel: `onnxruntime-web ${version} ${build} ${device.backend}`,
    loadMs,
    compileMs: performance.now() - started,
    weightBytes: sizeBytes,
    placement: readPlacement(lines),
  };
  const free = async () => (crashed ? undefined : session.release());
  const opened = { session, facts, last: Promise.resolve(), sizeBytes, free };
  if (source.allowFree) return opened;
  try {
    checkShapes(session, device.backend);
    checkPlacement(facts.placement, device.backend);
    return opened;
  } catch (error) {
    await session.release();
    throw error;
  }
}

/** @param {Source} source @returns {SessionOptions} */
function sessionOptions({ device, freeDimensions = {}, keepOnDevice = false, layout }) {
  return {
    executionProviders: [provider(device, layout)],
    freeDimensionOverrides: freeDimensions,
    preferredOutputLocation: outputLocation(device, keepOnDevice),
    // Verbose: the only place where onnxruntime tells which node runs where. `listen` keeps it off the console.
    logSeverityLevel: 0,
    // Threads that spin for the next run keep every other process of a small machine waiting.
    extra: { session: { intra_op: { allow_spinning: '0' } } },
  };
}

/**
 * @param {Device} device
 * @param {Source['layout']} layout
 * @returns {import('onnxruntime-common').InferenceSession.ExecutionProviderConfig}
 */
function provider({ backend, gpu, ml, mlDeviceType }, layout) {
  if (backend === 'webgpu' && gpu) {
    return { name: 'webgpu', device: gpu, ...(layout ? { preferredLayout: layout } : {}) };
  }
  if (backend === 'webnn' && ml) return { name: 'webnn', context: ml, deviceType: mlDeviceType };
  return 'wasm';
}

/**
 * @param {Device} device
 * @param {boolean | string[]} keepOnDevice
 * @returns {SessionOptions['preferredOutputLocation']}
 */
function outputLocation({ backend }, keepOnDevice) {
  // WebGPU outputs always stay on the device at first: that is how computing and reading back are told apart.
  if (backend === 'webgpu') return 'gpu-buffer';
  if (backend === 'wasm' || !keepOnDevice) return 'cpu';
  if (keepOnDevice === true) return 'ml-tensor';
  return Object.fromEntries(keepOnDevice.map((name) => [name, 'ml-tensor']));
}
