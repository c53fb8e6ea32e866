/**
 * Errors that have a name on the Python side (see `../contract/errors.py`), and the one place that names the others.
 *
 * A foreign error is named by where it was thrown. What onnxruntime throws while a graph is opened or run says
 * something of the backend or of the model (`guardGraph`); whatever is thrown elsewhere is a defect of the page.
 */
import { FrameTooLarge } from './frames.js';

/** An error whose `code` is the name of a Python class and whose `args` are that class's arguments. */
export class Fault extends Error {
  /** True: the engine that threw it cannot be used any more, and this lane has to start anew. */
  endsEngine = false;

  /**
   * @param {string} code the Python class: "Unsupported", "BadOutput", ...
   * @param {...unknown} args plain values; they travel as text
   */
  constructor(code, ...args) {
    super(`${code}: ${args.join('; ')}`);
    this.name = 'Fault';
    this.code = code;
    this.args = args.map(String);
  }
}

/** @typedef {import('./engines/runtimes.js').Backend} Backend */
/**
 * @typedef {object} GraphStep what was done with a graph when it threw
 * @property {'opening' | 'running' | 'releasing'} doing
 * @property {string} graph its file
 * @property {string} model
 * @property {Backend} backend
 */

// Wording seen in emscripten, V8, SpiderMonkey, onnxruntime, Dawn and wgpu.
const OUT_OF_MEMORY =
  /out of memory|out-of-memory|bad_alloc|array buffer allocation failed|cannot enlarge memory|failed to allocate|not enough memory|could not allocate memory/i;
const DEVICE_LOST =
  /device (is|was|has been)? ?lost|device (is|was|has been) destroyed|gpu connection lost|external instance reference no longer exists|mlcontext is lost|context (is|was) lost/i;
// A fetch or an import that got no answer, in Chromium and in Firefox: the browser has lost its network or its files.
const CUT_OFF =
  /failed to fetch|networkerror when attempting to fetch|error loading dynamically imported module/i;
// onnxruntime's StatusCode NOT_IMPLEMENTED: an operator or type that the backend has no kernel for; or a shader
// that needs what the adapter lacks, half precision above all.
const NOT_IMPLEMENTED =
  /ERROR_CODE: 9\b|could not find an implementation for|but the device does not support it/i;
// Faults that say which session was lost.
const LOSSES = ['DeviceLost', 'PageCutOff'];
const STACK_OVERFLOW = /call stack|recursion/i;

/**
 * What `work` gives. Raises a Fault that says what failed: the memory, the device, the engine, the backend or the
 * model.
 *
 * Whether a graph or the backend is at fault when WebGPU or WebNN does not take it, only another backend can tell;
 * WebAssembly takes whatever onnxruntime takes.
 * @template T
 * @param {GraphStep} step
 * @param {() => Promise<T>} work a call of onnxruntime
 * @returns {Promise<T>}
 */
export async function guardGraph(step, work) {
  try {
    return await work();
  } catch (error) {
    throw error instanceof Fault ? error : nameGraphFault(error, step);
  }
}

/**
 * @param {unknown} error
 * @param {GraphStep} step
 * @returns {Fault}
 */
function nameGraphFault(error, { doing, graph, model, backend }) {
  const text = `${doing} ${graph} on ${backend} failed: ${describe(error)}`;
  const isCrash = endedEngine(error);
  const isBackends = isCrash || (doing === 'opening' && backend !== 'wasm');
  const fault =
    nameByText(text) ??
    (isBackends ? new Fault('BackendFault', backend, model, text) : new Fault('ModelFault', model, text));
  fault.endsEngine = isCrash;
  fault.stack = stackOf(error);
  return fault;
}

/** @param {string} text @returns {Fault | null} */
function nameByText(text) {
  if (NOT_IMPLEMENTED.test(text)) return new Fault('Unsupported', 'an operator of the model', text);
  return nameByDevice(text);
}

/** @param {string} text @returns {Fault | null} */
function nameByDevice(text) {
  if (OUT_OF_MEMORY.test(text)) return new Fault('OutOfMemory', text);
  if (DEVICE_LOST.test(text)) return new Fault('DeviceLost', '', text);
  if (CUT_OFF.test(text)) return new Fault('PageCutOff', '', text);
  return null;
}

/**
 * Whether the error left onnxruntime's WebAssembly in a state that nobody knows: a trap, an abort, a C++ exception
 * that nobody caught, a stack that overflowed.
 * @param {unknown} error
 */
function endedEngine(error) {
  if (typeof error === 'number') return true;
  // TypeScript's libraries do not know WebAssembly.Exception yet.
  const kinds = [WebAssembly.RuntimeError, /** @type {any} */ (WebAssembly).Exception];
  if (kinds.some((kind) => kind && error instanceof kind)) return true;
  return error instanceof Error && error.name !== 'Fault' && STACK_OVERFLOW.test(error.message);
}

/**
 * The error as the wire carries it; whatever has no name of ours is out of memory, a loss, or a PageFault.
 * @param {unknown} error
 * @param {string} [session] named in the errors that say which session was lost
 * @returns {{code: string, args: string[], stack: string}}
 */
export function toWire(error, session = '') {
  const text = describe(error);
  const fault = nameAnswer(error) ?? nameByDevice(text) ?? new Fault('PageFault', text);
  const [first = '', ...rest] = fault.args;
  const args = LOSSES.includes(fault.code) ? [first || session, ...rest] : fault.args;
  return { code: fault.code, args, stack: stackOf(error) };
}

/** The fault that `error` is, or that an answer is which fits no frame. @param {unknown} error */
function nameAnswer(error) {
  if (error instanceof Fault) return error;
  if (!(error instanceof FrameTooLarge)) return null;
  return new Fault('TooLarge', 'the reply', error.sizeBytes, error.limitBytes);
}

/** True when the lane that threw `error` cannot go on. @param {unknown} error */
export function endsLane(error) {
  return error instanceof Fault && error.endsEngine;
}

/** @param {unknown} error */
function stackOf(error) {
  return error instanceof Error && error.stack ? error.stack : describe(error);
}

/**
 * One line that says what `error` is, whatever was thrown.
 * @param {unknown} error
 * @returns {string}
 */
export function describe(error) {
  if (error instanceof Fault) return error.message;
  if (error instanceof Error) return `${error.name}: ${error.message}`;
  // Emscripten throws the bare address of a C++ exception whose text it cannot reach.
  if (typeof error === 'number') return `a C++ exception at ${error} left onnxruntime`;
  return String(error);
}
