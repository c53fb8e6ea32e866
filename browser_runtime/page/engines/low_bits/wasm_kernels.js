/** The WebAssembly kernels, bound to one memory. */

/** @typedef {Record<string, (...args: number[]) => number | undefined>} Kernels */
/** @typedef {'relaxed' | 'simd'} Variant */
/** @typedef {(name: string, variant: Variant) => Promise<BufferSource>} LoadKernel */

// (module (func (param v128 v128) (result v128) local.get 0 local.get 1 i16x8.relaxed_dot_i8x16_i7x16_s)): valid only
// where relaxed SIMD is.
const RELAXED_MODULE = Uint8Array.from([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 123, 123, 1, 123, 3, 2, 1, 0, 10, 11, 1, 9, 0, 32, 0, 32, 1,
  253, 146, 2, 11,
]);
// `unpack` is what others import.
const DECODER_KERNELS = [
  'activation',
  'matfloat',
  'matmat',
  'matmat8',
  'matvec2',
  'matvec3',
  'matvec4',
  'norm',
  'pack',
  'packed',
  'quantize',
  'ring',
  'rope',
  'softmax',
];
export const ENCODER_KERNELS = [
  'gelu',
  'layer_norm',
  'matpanel',
  'matwide',
  'softmax',
  'turn',
  'widen',
  'widen_matrix',
];

/** The variants that this browser can run, the quicker one first. @returns {Variant[]} */
export const variantsHere = () => (WebAssembly.validate(RELAXED_MODULE) ? ['relaxed', 'simd'] : ['simd']);

/** Fetches a kernel that vendoring assembled. @type {LoadKernel} */
export async function fetchKernel(name, variant) {
  const response = await fetch(new URL(`../../vendor/kernels/${variant}/${name}.wasm`, import.meta.url));
  if (!response.ok) throw new Error(`the kernel ${name} answered ${response.status}`);
  return response.arrayBuffer();
}

/**
 * Kernels by their exported names.
 * @param {WebAssembly.Memory} memory
 * @param {Variant} variant
 * @param {LoadKernel} load
 * @param {string[]} names
 * @returns {Promise<Kernels>}
 */
export async function bindKernels(memory, variant, load = fetchKernel, names = DECODER_KERNELS) {
  const bind = async (/** @type {string} */ name, /** @type {WebAssembly.ModuleImports} */ unpack) => {
    const { instance } = await WebAssembly.instantiate(await load(name, variant), { e: { memory }, unpack });
    return instance.exports;
  };
  const unpack = /** @type {WebAssembly.ModuleImports} */ (await bind('unpack', {}));
  const bound = await Promise.all(names.map((name) => bind(name, unpack)));
  return /** @type {Kernels} */ (Object.assign({}, unpack, ...bound));
}
