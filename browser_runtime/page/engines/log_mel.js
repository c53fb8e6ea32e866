/**
 * The log-mel picture of sounds, by a compute shader (../kernels/wgsl/log_mel.wgsl) on the graph's own device, its output
 * left there.
 */

/**
 * @typedef {object} Plan
 * @property {number} length samples of a window, silence behind the sound included
 * @property {number} points samples of a Fourier transform, an even number
 * @property {number} hop samples from a frame to the next
 * @property {number} frames of a window
 * @property {ArrayLike<number>} window [points]
 * @property {ArrayLike<number>[]} filters [mels][points / 2 + 1]
 * @property {boolean} decibels CLAP's: [frames, mels] in decibels; else Whisper's: [mels, frames], eight decades below the
 *   loudest number at most, and shifted
 */

// Of float32 a transform keeps three numbers a point, and every device has so many bytes for a workgroup.
const WORKGROUP_BYTES = 16384;
const BYTES_A_POINT = 12;
const PARAM_BYTES = 48;
const WIDTH = 64;

/** Why the shader cannot compute that plan; empty where it can. @param {Plan} plan */
export function findObstacle({ points, filters }) {
  if (points * BYTES_A_POINT > WORKGROUP_BYTES)
    return `a transform of ${points} points does not fit a workgroup`;
  return filters.length > 0 ? '' : 'it has no filters';
}

/** A and B of N = A B, near its root, A the larger. @param {number} points @returns {[number, number]} */
export function factor(points) {
  let b = Math.floor(Math.sqrt(points));
  while (points % b !== 0) b -= 1;
  return [points / b, b];
}

/** @param {string} file */
async function fetchShader(file) {
  const response = await fetch(new URL(`../kernels/wgsl/${file}.wgsl`, import.meta.url));
  if (!response.ok) throw new Error(`the shader ${file} answered ${response.status}`);
  return response.text();
}

export class LogMel {
  #gpu;
  #pipelines;
  #layout;
  #buffers;
  /** @type {GPUBuffer | null} */
  #output = null;

  /**
   * @param {GPUDevice} gpu
   * @param {Plan} plan
   * @param {GPUBindGroupLayout} layout
   * @param {{frames: GPUComputePipeline, finish: GPUComputePipeline}} pipelines
   */
  constructor(gpu, plan, layout, pipelines) {
    this.#gpu = gpu;
    this.plan = plan;
    this.mels = plan.filters.length;
    this.#layout = layout;
    this.#pipelines = pipelines;
    const { STORAGE, UNIFORM } = GPUBufferUsage;
    const { ranges, weights } = packFilters(plan.filters);
    this.#buffers = {
      params: this.#buffer(PARAM_BYTES, UNIFORM),
      samples: this.#buffer(4 * plan.length, STORAGE),
      table: this.#filled(makeTable(plan)),
      ranges: this.#filled(ranges),
      weights: this.#filled(weights),
      top: this.#buffer(4, STORAGE),
    };
  }

  /** @param {GPUDevice} gpu @param {Plan} plan */
  static async open(gpu, plan) {
    const module = gpu.createShaderModule({ label: 'log_mel', code: await fetchShader('log_mel') });
    const layout = gpu.createBindGroupLayout({ entries: layoutEntries() });
    const [a, b] = factor(plan.points);
    const pipeline = (/** @type {'frames' | 'finish'} */ entryPoint) =>
      gpu.createComputePipelineAsync({
        label: `log_mel ${entryPoint}`,
        layout: gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: {
          module,
          entryPoint,
          constants: entryPoint === 'frames' ? { N: plan.points, A: a, B: b } : {},
        },
      });
    const [frames, finish] = await Promise.all([pipeline('frames'), pipeline('finish')]);
    return new LogMel(gpu, plan, layout, { frames, finish });
  }

  /** Numbers of the features of a sound. */
  get size() {
    return this.plan.frames * this.mels;
  }

  /**
   * The features of sounds one behind another, in a buffer that holds until the next call.
   * @param {Float32Array[]} sounds each of at most a whole window
   * @param {number} [rows] sounds that there is to be room for; what is behind them is undefined
   */
  compute(sounds, rows = sounds.length) {
    const output = this.#takeOutput(4 * rows * this.size);
    for (const [row, sound] of sounds.entries()) this.#computeOne(sound, row * this.size, output);
    return output;
  }

  /** @param {Float32Array} sound @param {number} base @param {GPUBuffer} output */
  #computeOne(sound, base, output) {
    const { params, samples, table, ranges, weights, top } = this.#buffers;
    const { frames, decibels } = this.plan;
    const known = this.#countFrames(sound.length);
    this.#gpu.queue.writeBuffer(samples, 0, /** @type {Float32Array<ArrayBuffer>} */ (sound));
    this.#gpu.queue.writeBuffer(params, 0, this.#writeParams(sound.length, known, base));
    const resources = [params, samples, table, ranges, weights, top, output];
    const group = this.#gpu.createBindGroup({
      layout: this.#layout,
      entries: resources.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    const encoder = this.#gpu.createCommandEncoder();
    encoder.clearBuffer(top);
    const pass = encoder.beginComputePass();
    pass.setBindGroup(0, group);
    pass.setPipeline(this.#pipelines.frames);
    pass.dispatchWorkgroups(known);
    if (!decibels) {
      pass.setPipeline(this.#pipelines.finish);
      pass.dispatchWorkgroups(Math.ceil(frames / WIDTH), this.mels);
    }
    pass.end();
    this.#gpu.queue.submit([encoder.finish()]);
  }

  /** Frees its buffers. */
  release() {
    this.#output?.destroy();
    for (const buffer of Object.values(this.#buffers)) buffer.destroy();
  }

  /** Frames that hear something of a sound, and two of silence: what is behind is as quiet. @param {number} count */
  #countFrames(count) {
    const { points, hop, frames, decibels } = this.plan;
    return decibels ? frames : Math.min(Math.ceil((count + 2 * points) / hop), frames);
  }

  /** @param {number} count @param {number} known @param {number} base */
  #writeParams(count, known, base) {
    const { length, hop, frames, decibels } = this.plan;
    const strides = decibels ? [this.mels, 1] : [1, frames];
    const words = new DataView(new ArrayBuffer(PARAM_BYTES));
    for (const [at, word] of [count, length, hop, this.mels, known, frames, base, ...strides].entries()) {
      words.setUint32(4 * at, word, true);
    }
    words.setFloat32(36, decibels ? 10 : 1, true);
    return words.buffer;
  }

  /** @param {number} size bytes */
  #takeOutput(size) {
    if (this.#output?.size === size) return this.#output;
    this.#output?.destroy();
    this.#output = this.#buffer(size, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC);
    return this.#output;
  }

  /** @param {number} size @param {number} usage */
  #buffer(size, usage) {
    return this.#gpu.createBuffer({ size, usage: usage | GPUBufferUsage.COPY_DST });
  }

  /** @param {Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>} values */
  #filled(values) {
    const buffer = this.#buffer(values.byteLength, GPUBufferUsage.STORAGE);
    this.#gpu.queue.writeBuffer(buffer, 0, values);
    return buffer;
  }
}

/** @param {Plan} plan @returns {Float32Array<ArrayBuffer>} */
function makeTable({ points, window }) {
  const table = new Float32Array(4 * points);
  for (let j = 0; j < points; j++) {
    const angle = (-2 * Math.PI * j) / points;
    table.set([window[j] ?? 0, Math.cos(angle), Math.sin(angle)], 4 * j);
  }
  return table;
}

/** Each filter from its first to its last bin with a weight. @param {ArrayLike<number>[]} filters */
function packFilters(filters) {
  const ranges = new Uint32Array(4 * filters.length);
  /** @type {number[]} */
  const weights = [];
  for (const [mel, filter] of filters.entries()) {
    const bins = Array.from(filter);
    const first = Math.max(
      bins.findIndex((weight) => weight !== 0),
      0,
    );
    const end = bins.findLastIndex((weight) => weight !== 0) + 1;
    ranges.set([first, Math.max(end - first, 0), weights.length], 4 * mel);
    weights.push(...bins.slice(first, end));
  }
  return { ranges, weights: Float32Array.from(weights.length > 0 ? weights : [0]) };
}

/** @returns {GPUBindGroupLayoutEntry[]} */
function layoutEntries() {
  const types = /** @type {GPUBufferBindingType[]} */ ([
    'uniform',
    ...Array(4).fill('read-only-storage'),
    ...Array(2).fill('storage'),
  ]);
  return types.map((type, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } }));
}
