/**
 * Which rows of the worker's table of acceleration (`contract/acceleration.py`) an opened model has.
 */

/** @typedef {import('../contract.js').Opening} Opening */
/** @typedef {{runs: number, ms: number, steady: boolean}} WarmUp */

/** The warm-up of a model that had none. @type {WarmUp} */
export const NOT_WARMED = { runs: 0, ms: 0, steady: false };

/**
 * True unless the request wants its shaders compiled by the first run: only WebGPU has any.
 * @param {Opening} opening
 */
export function warmsUp({ backend, acceleration }) {
  return backend !== 'webgpu' || acceleration?.precompile_shaders !== false;
}

/**
 * The names of the rows that an opened model has.
 * @param {Opening} opening
 * @param {WarmUp} warm
 * @param {string} kernel
 * @param {string[]} own rows that the family knows of
 * @returns {string[]}
 */
export function listAccelerations(opening, warm, kernel, own = []) {
  const { backend, options, realm } = opening;
  const isOnnx = kernel.includes('onnxruntime');
  /** @type {Record<string, boolean>} */
  const rows = {
    precompile_shaders: backend === 'webgpu' && warm.runs > 0,
    parallel_loading: opening.fetched !== undefined,
    layout: backend === 'webgpu' && isOnnx && options.layout === 'NHWC',
    threads: backend === 'wasm' && isOnnx && Number(realm.ort.env?.wasm?.numThreads ?? 1) > 1,
    webnn: backend === 'webnn',
    tensor_sharing: options.tensor_sharing !== false,
  };
  return [...own, ...Object.keys(rows).filter((name) => rows[name])];
}
