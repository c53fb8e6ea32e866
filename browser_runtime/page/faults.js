/**
 * Errors that have a name on the Python side (see `../errors.py`), and the one place that names the others.
 */

/** An error whose `code` is the name of a Python class and whose `args` are that class's arguments. */
export class Fault extends Error {
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

// Wording seen in emscripten, V8, SpiderMonkey, onnxruntime, Dawn and wgpu.
const OUT_OF_MEMORY =
  /out of memory|out-of-memory|bad_alloc|array buffer allocation failed|cannot enlarge memory|failed to allocate|not enough memory|could not allocate memory/i;
const DEVICE_LOST =
  /device (is|was|has been)? ?lost|device (is|was|has been) destroyed|gpu connection lost|external instance reference no longer exists|mlcontext is lost|context (is|was) lost/i;
// onnxruntime's StatusCode NOT_IMPLEMENTED: an operator or type that the backend has no kernel for; or a shader
// that needs what the adapter lacks, half precision above all.
const NOT_IMPLEMENTED =
  /ERROR_CODE: 9\b|could not find an implementation for|but the device does not support it/i;

/**
 * The error as the wire carries it; whatever has no name of ours is recognised by its text or is a PageFault.
 * @param {unknown} error
 * @param {string} [session] named in the errors that say which session was lost
 * @returns {{code: string, args: string[], stack: string}}
 */
export function toWire(error, session = '') {
  const text = describe(error);
  const stack = error instanceof Error && error.stack ? error.stack : text;
  if (error instanceof Fault) return { code: error.code, args: error.args, stack };
  if (OUT_OF_MEMORY.test(text)) return { code: 'OutOfMemory', args: [text], stack };
  if (DEVICE_LOST.test(text)) return { code: 'DeviceLost', args: [session, text], stack };
  if (NOT_IMPLEMENTED.test(text))
    return { code: 'Unsupported', args: ['an operator of the model', text], stack };
  return { code: 'PageFault', args: [text], stack };
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
