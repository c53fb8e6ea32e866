/** The WGSL kernels as pipelines, and a step's dispatches gathered into one submission. */

/** @typedef {keyof typeof KERNELS} ShaderName */
/** @typedef {(file: string) => Promise<string>} LoadShader */
/**
 * @typedef {object} Variant
 * @property {string} name
 * @property {'rows' | 'split'} matmul one invocation a row block, or many
 * @property {'packed' | 'plain'} dot
 * @property {'workgroup' | 'subgroups'} reduce
 * @property {'plain' | 'f16'} halves how fp16 is read
 */

// What each binding after the parameters is: read, or written.
const KERNELS = /** @type {const} */ ({
  embed: { file: 'embed', entry: 'main', access: 'rrw' },
  norm: { file: 'norm', entry: 'main', access: 'rrrw' },
  head_norm: { file: 'head_norm', entry: 'main', access: 'rw' },
  quantize: { file: 'quantize', entry: 'main', access: 'rww' },
  matvec: { file: 'matvec', entry: 'rows', access: 'rrrrw' },
  matmul: { file: 'matmul', entry: 'rows', access: 'rrrrw' },
  matfloat: { file: 'matfloat', entry: 'main', access: 'rrw' },
  silu: { file: 'elementwise', entry: 'silu', access: 'rw' },
  add: { file: 'elementwise', entry: 'add', access: 'rw' },
  bias: { file: 'elementwise', entry: 'bias', access: 'rw' },
  rope: { file: 'rope', entry: 'main', access: 'rrw' },
  append: { file: 'append', entry: 'main', access: 'rrw' },
  pack_scales: { file: 'pack', entry: 'scales', access: 'w' },
  pack_codes: { file: 'pack', entry: 'codes', access: 'w' },
  choose: { file: 'choose', entry: 'main', access: 'wwwrrw' },
  attend: { file: 'attend', entry: 'main', access: 'rrrww' },
});
// Invocations of a group, in every kernel.
export const WORKGROUP = 64;
// What exists in variants, and is put together of several files.
const PRODUCTS = ['matvec', 'matmul'];
// minUniformBufferOffsetAlignment is at most this everywhere.
const PARAM_BYTES = 256;
const MAX_DISPATCHES = 4096;

/** Fetches a shader beside the page's code. @type {LoadShader} */
async function fetchShader(file) {
  const response = await fetch(new URL(`../../kernels/wgsl/${file}.wgsl`, import.meta.url));
  if (!response.ok) throw new Error(`the shader ${file} answered ${response.status}`);
  return response.text();
}

/** The variants that this device can run. @param {GPUDevice} gpu @returns {Variant[]} */
export function variantsOf(gpu) {
  const hasDot = navigator.gpu?.wgslLanguageFeatures?.has('packed_4x8_integer_dot_product') ?? false;
  const dot = hasDot ? 'packed' : 'plain';
  const plain = /** @type {const} */ ({ matmul: 'rows', dot, reduce: 'workgroup', halves: 'plain' });
  /** @type {Variant[]} */
  const variants = [
    { ...plain, name: `rows ${dot}` },
    { ...plain, name: `split ${dot}`, matmul: 'split' },
  ];
  if (hasDot) variants.push({ ...plain, name: 'rows plain', dot: 'plain' });
  if (gpu.features.has('shader-f16')) variants.push({ ...plain, name: `rows ${dot} f16`, halves: 'f16' });
  if (gpu.features.has('subgroups')) {
    variants.push({ ...plain, name: `split ${dot} subgroups`, matmul: 'split', reduce: 'subgroups' });
  }
  return variants;
}

/** @typedef {Map<string, GPUShaderModule>} Modules by file */
/** @typedef {Map<string, {pipeline: GPUComputePipeline, layout: GPUBindGroupLayout}>} Pipelines by kernel and constants */
/**
 * What was compiled on a device, by variant: each of its backends goes on with it.
 * @type {WeakMap<GPUDevice, Map<string, {modules: Modules, pipelines: Pipelines}>>}
 */
const compiled = new WeakMap();

export class Shaders {
  #gpu;
  #modules;
  #pipelines;
  /** @type {Map<string, GPUBindGroup>} */
  #groups = new Map();
  /** @type {Map<GPUBuffer, number>} */
  #ids = new Map();
  #params;
  #words = new DataView(new ArrayBuffer(PARAM_BYTES * MAX_DISPATCHES));
  /** @type {{pipeline: GPUComputePipeline, group: GPUBindGroup, groups: number[]}[]} */
  #pending = [];

  /**
   * @param {GPUDevice} gpu
   * @param {Variant} variant
   * @param {Modules} modules
   * @param {Pipelines} pipelines compiled so far; the others of this device and variant have what is added
   */
  constructor(gpu, variant, modules, pipelines) {
    this.#gpu = gpu;
    this.#modules = modules;
    this.#pipelines = pipelines;
    this.variant = variant;
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    this.#params = gpu.createBuffer({ size: PARAM_BYTES * MAX_DISPATCHES, usage });
  }

  /** @param {GPUDevice} gpu @param {Variant} variant @param {LoadShader} [load] */
  static async open(gpu, variant, load = fetchShader) {
    const known = compiled.get(gpu)?.get(variant.name);
    if (known) return new Shaders(gpu, variant, known.modules, known.pipelines);
    const files = [...new Set(Object.values(KERNELS).map(({ file }) => file))];
    const sources = await Promise.all(
      files.map(async (file) => /** @type {const} */ ([file, await sourceOf(file, variant, load)])),
    );
    /** @type {Modules} */
    const modules = new Map();
    for (const [file, code] of sources) modules.set(file, gpu.createShaderModule({ label: file, code }));
    /** @type {Pipelines} */
    const pipelines = new Map();
    compiled.set(gpu, (compiled.get(gpu) ?? new Map()).set(variant.name, { modules, pipelines }));
    return new Shaders(gpu, variant, modules, pipelines);
  }

  /**
   * Records a dispatch.
   * @param {ShaderName} name @param {Record<string, number>} constants @param {(number | {float: number})[]} params
   * @param {GPUBuffer[]} buffers @param {number[]} groups
   */
  run(name, constants, params, buffers, groups) {
    if (this.#pending.length === MAX_DISPATCHES) this.submit(() => {});
    const { pipeline, layout } = this.#pipeline(name, constants);
    const base = PARAM_BYTES * this.#pending.length;
    for (const [index, param] of params.entries()) {
      if (typeof param === 'number') this.#words.setUint32(base + 4 * index, param, true);
      else this.#words.setFloat32(base + 4 * index, param.float, true);
    }
    this.#pending.push({ pipeline, group: this.#group(name, layout, buffers), groups });
  }

  /** Sends off what was recorded, and what `last` adds. @param {(encoder: GPUCommandEncoder) => void} last */
  submit(last) {
    const encoder = this.#gpu.createCommandEncoder();
    if (this.#pending.length > 0) {
      this.#gpu.queue.writeBuffer(this.#params, 0, this.#words.buffer, 0, PARAM_BYTES * this.#pending.length);
      const pass = encoder.beginComputePass();
      for (const [index, { pipeline, group, groups }] of this.#pending.entries()) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group, [PARAM_BYTES * index]);
        pass.dispatchWorkgroups(groups[0] ?? 1, groups[1] ?? 1, groups[2] ?? 1);
      }
      pass.end();
      this.#pending = [];
    }
    last(encoder);
    this.#gpu.queue.submit([encoder.finish()]);
  }

  /** The next backend of this device compiles anew. */
  forget() {
    compiled.delete(this.#gpu);
  }

  release() {
    this.#params.destroy();
    this.#pending = [];
    this.#groups.clear();
    this.#pipelines = new Map();
  }

  /** The same shaders with dispatches of their own: nothing is compiled twice. */
  sibling() {
    return new Shaders(this.#gpu, this.variant, this.#modules, this.#pipelines);
  }

  /** @param {ShaderName} name @param {Record<string, number>} constants */
  #pipeline(name, constants) {
    const key = `${name} ${JSON.stringify(constants)}`;
    const found = this.#pipelines.get(key);
    if (found) return found;
    const { file, entry, access } = KERNELS[name];
    const layout = this.#gpu.createBindGroupLayout({ entries: layoutEntries(access) });
    const pipeline = this.#gpu.createComputePipeline({
      label: key,
      layout: this.#gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: {
        module: /** @type {GPUShaderModule} */ (this.#modules.get(file)),
        entryPoint: PRODUCTS.includes(file) ? this.variant.matmul : entry,
        constants,
      },
    });
    this.#pipelines.set(key, { pipeline, layout });
    return { pipeline, layout };
  }

  /** @param {ShaderName} name @param {GPUBindGroupLayout} layout @param {GPUBuffer[]} buffers */
  #group(name, layout, buffers) {
    const key = `${layoutKey(name)} ${buffers.map((buffer) => this.#id(buffer)).join(' ')}`;
    const found = this.#groups.get(key);
    if (found) return found;
    const params = { binding: 0, resource: { buffer: this.#params, size: PARAM_BYTES } };
    const entries = buffers.map((buffer, index) => ({ binding: index + 1, resource: { buffer } }));
    const group = this.#gpu.createBindGroup({ layout, entries: [params, ...entries] });
    this.#groups.set(key, group);
    return group;
  }

  /** @param {GPUBuffer} buffer */
  #id(buffer) {
    const id = this.#ids.get(buffer) ?? this.#ids.size;
    this.#ids.set(buffer, id);
    return id;
  }
}

/** Bind groups fit every layout with the same accesses. @param {ShaderName} name */
const layoutKey = (name) => KERNELS[name].access;

/** @param {string} access @returns {GPUBindGroupLayoutEntry[]} */
function layoutEntries(access) {
  const visibility = GPUShaderStage.COMPUTE;
  const params = {
    binding: 0,
    visibility,
    buffer: { type: /** @type {const} */ ('uniform'), hasDynamicOffset: true },
  };
  const buffers = Array.from(access, (kind, index) => ({
    binding: index + 1,
    visibility,
    buffer: {
      type: kind === 'r' ? /** @type {const} */ ('read-only-storage') : /** @type {const} */ ('storage'),
    },
  }));
  return [params, ...buffers];
}

/**
 * A shader with what stands before it: files of its own, chosen by the variant.
 * @param {string} file @param {Variant} variant @param {LoadShader} load
 */
async function sourceOf(file, { dot, reduce, halves }, load) {
  const isProduct = PRODUCTS.includes(file);
  const files = [];
  if (isProduct) files.push(`dot_${dot}`, `reduce_${reduce}`, 'product');
  if (isProduct || file === 'attend') files.push(`halves_${halves}`);
  if (file === 'append' || file === 'pack') files.push('to_half');
  const enabled = [];
  if (files.includes('halves_f16')) enabled.push('enable f16;');
  if (files.includes('reduce_subgroups')) enabled.push('enable subgroups;');
  return [...enabled, ...(await Promise.all([...files, file].map(load)))].join('\n');
}

export const groupsOf = (/** @type {number} */ invocations) => Math.ceil(invocations / WORKGROUP);
export const floatsOf = (/** @type {import('./backend.js').Rows} */ rows) =>
  /** @type {GPUBuffer} */ (rows.floats);
