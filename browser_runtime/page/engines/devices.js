/**
 * The one GPUDevice and the one MLContext of this lane: everything that computes shares them, so that tensors
 * pass between engines without a copy.
 */
import { Fault } from '../faults.js';

/** @typedef {import('./runtimes.js').Backend} Backend */
/** @typedef {{name: string, vendor: string, architecture: string, software: boolean | null}} Adapter */
/**
 * @typedef {object} Device
 * @property {Backend} backend
 * @property {GPUDevice | null} gpu
 * @property {MLContext | null} ml
 * @property {MLDeviceType} mlDeviceType what the MLContext was asked for; 'cpu' without one
 * @property {boolean | null} accelerated whether WebNN says it left the CPU; null where it does not say
 * @property {Adapter} adapter
 * @property {Promise<string> | null} lost resolves with the reason once the device is gone
 */

/** @type {Map<Backend, Promise<Device>>} */
const opened = new Map();
/** @type {(backend: Backend, reason: string) => void} */
let reportLoss = () => {};

const FEATURES = /** @type {const} */ (['shader-f16', 'subgroups', 'timestamp-query']);
// The limits that decide how large a model fits; the others stay at their defaults.
const LIMITS = /** @type {const} */ ([
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxStorageBuffersPerShaderStage',
]);
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render|warp/i;
const CPU = { name: 'WebAssembly', vendor: '', architecture: 'wasm', software: true };

/**
 * This lane's device for `backend`, opened at the first call.
 * @param {Backend} backend
 * @returns {Promise<Device>}
 */
export function openDevice(backend) {
  const device = opened.get(backend) ?? OPENERS[backend]();
  opened.set(backend, device);
  device.then(watch, () => opened.delete(backend));
  return device;
}

/**
 * Calls `report` from now on whenever a device is lost; by then the device is already forgotten.
 * @param {(backend: Backend, reason: string) => void} report
 */
export function onDeviceLost(report) {
  reportLoss = report;
}

/** @type {WeakSet<Device>} */
const watched = new WeakSet();

/** @param {Device} device */
async function watch(device) {
  if (!device.lost || watched.has(device)) return;
  watched.add(device);
  const reason = await device.lost;
  opened.delete(device.backend);
  reportLoss(device.backend, reason);
}

// A device's loss may be told a moment after what failed of it.
const LOSS_TIMEOUT_MS = 1000;

/**
 * Why the device was lost, once that has been reported; null where it was not.
 * @param {Device} device
 * @param {boolean} isLikely whether to wait a moment for it
 * @returns {Promise<string | null>}
 */
export async function findLoss({ lost }, isLikely) {
  if (!lost) return null;
  const timeoutMs = isLikely ? LOSS_TIMEOUT_MS : 0;
  return Promise.race([lost, new Promise((resolve) => setTimeout(resolve, timeoutMs, null))]);
}

/** @type {Record<Backend, () => Promise<Device>>} */
const OPENERS = { webgpu: openGpu, webnn: openMl, wasm: openCpu };

/** @returns {Promise<Device>} */
async function openCpu() {
  return {
    backend: 'wasm',
    gpu: null,
    ml: null,
    mlDeviceType: 'cpu',
    accelerated: false,
    adapter: CPU,
    lost: null,
  };
}

/** @returns {Promise<Device>} */
async function openGpu() {
  const adapter = await findAdapter();
  const gpu = await adapter.requestDevice({
    requiredFeatures: FEATURES.filter((feature) => adapter.features.has(feature)),
    requiredLimits: Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]])),
  });
  const lost = gpu.lost.then((info) => `${info.reason}: ${info.message}`);
  return { ...(await openCpu()), backend: 'webgpu', gpu, adapter: describeAdapter(adapter), lost };
}

/**
 * The browser's WebGPU adapter. Raises Unsupported when there is none.
 * @returns {Promise<GPUAdapter>}
 */
export async function findAdapter() {
  if (!navigator.gpu) throw new Fault('Unsupported', 'WebGPU', 'navigator.gpu is missing in this browser');
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Fault('Unsupported', 'WebGPU', 'the browser has no adapter');
  return adapter;
}

/**
 * What the browser tells of the adapter. `software` is false only on evidence: a named vendor that is no
 * software renderer, on an adapter that is not the fallback. Firefox names nothing, but says `isFallbackAdapter`
 * for what Vulkan calls a CPU device; without that flag it stays null there.
 * @param {GPUAdapter} adapter
 * @returns {Adapter}
 */
export function describeAdapter(adapter) {
  const { vendor = '', architecture = '', device = '', description = '' } = adapter.info ?? {};
  const name = description || device || [vendor, architecture].filter(Boolean).join(' ');
  const isFallback = Boolean(adapter.info?.isFallbackAdapter);
  const software = isFallback || SOFTWARE.test(`${vendor} ${architecture} ${name}`);
  return { name, vendor, architecture, software: software || (vendor ? false : null) };
}

/** @returns {Promise<Device>} */
async function openMl() {
  if (!navigator.ml) throw new Fault('Unsupported', 'WebNN', 'navigator.ml is missing in this browser');
  const { ml, mlDeviceType } = await createContext(navigator.ml);
  const accelerated = ml.accelerated ?? null;
  // Where the browser does not say, the context that was asked for is the CPU's: see createContext.
  const software = !accelerated;
  const adapter = { name: `WebNN ${mlDeviceType}`, vendor: '', architecture: mlDeviceType, software };
  const lost = ml.lost.then((info) => info.message);
  return { ...(await openCpu()), backend: 'webnn', ml, mlDeviceType, accelerated, adapter, lost };
}

/**
 * An accelerated context where the browser says that it is, else the CPU's: a context asked for 'gpu' may
 * well compute on the CPU (seen in Chromium 153), and then the CPU's layout is the faster one.
 * @param {ML} api
 * @returns {Promise<{ml: MLContext, mlDeviceType: MLDeviceType}>}
 */
async function createContext(api) {
  for (const mlDeviceType of /** @type {const} */ (['npu', 'gpu'])) {
    const ml = await api.createContext({ deviceType: mlDeviceType }).catch(() => null);
    if (ml?.accelerated) return { ml, mlDeviceType };
    ml?.destroy?.();
  }
  try {
    return { ml: await api.createContext({ deviceType: 'cpu' }), mlDeviceType: 'cpu' };
  } catch (error) {
    throw new Fault('Unsupported', 'WebNN', error instanceof Error ? error.message : String(error));
  }
}

// Firefox completes mapAsync and onSubmittedWorkDone on a ~100 ms tick, or at the next submit after the GPU is
// done. A gap under ~5 ms starves its software rendering.
const PUMP_GAP_MS = 5;
// Short work is waited for without a gap: what it starves is over by then.
const SPIN_MS = 10;
const NEEDS_PUMP = typeof navigator !== 'undefined' && /Firefox\//.test(navigator.userAgent);

/**
 * The value of `promise`, with Firefox made to notice early that the GPU is done.
 * @template T
 * @param {GPUDevice} gpu
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export async function awaitGpu(gpu, promise) {
  if (!NEEDS_PUMP) return promise;
  return promise.finally(pump(gpu));
}

/** Submits nothing, again and again, until what it returns is called. @param {GPUDevice} gpu */
function pump(gpu) {
  const until = performance.now() + SPIN_MS;
  const { port1, port2 } = new MessageChannel();
  /** @type {ReturnType<typeof setInterval> | undefined} */
  let timer;
  const submit = () => gpu.queue.submit([]);
  port1.onmessage = () => {
    submit();
    if (performance.now() < until) port2.postMessage(0);
    else timer = setInterval(submit, PUMP_GAP_MS);
  };
  port2.postMessage(0);
  return () => {
    clearInterval(timer);
    port1.close();
  };
}
