/** The buffers of one backend on a device: laid out, read back, and given back together. */
import { Fault } from '../../faults.js';
import { roundUp } from '../../kernels/layout.js';
import { awaitGpu } from '../devices.js';

/** @typedef {{buffer: GPUBuffer, tail: Uint8Array}} Filled a buffer filled in order, and bytes that make no word yet */

export class WebGpuBuffers {
  sizeBytes = 0;
  /** Its two error scopes are on the device's stack, which others of the lane push theirs onto. */
  #isWatching = true;
  #gpu;
  /** @type {GPUBuffer[]} */
  #buffers = [];
  /** @type {GPUBuffer | null} */
  #staging = null;

  /** @param {GPUDevice} gpu */
  constructor(gpu) {
    this.#gpu = gpu;
    gpu.pushErrorScope('out-of-memory');
    gpu.pushErrorScope('validation');
  }

  /** A zeroed buffer. Raises Unsupported for one that is too large for the adapter. @param {number} sizeBytes */
  lay(sizeBytes) {
    const size = roundUp(Math.max(sizeBytes, 16), 16);
    const most = Math.min(this.#gpu.limits.maxStorageBufferBindingSize, this.#gpu.limits.maxBufferSize);
    if (size > most) {
      throw new Fault(
        'Unsupported',
        `a buffer of ${megabytes(size)}`,
        `one buffer of this adapter holds ${megabytes(most)}`,
      );
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = this.#gpu.createBuffer({ size, usage });
    this.#buffers.push(buffer);
    this.sizeBytes += size;
    return buffer;
  }

  /** @param {number} sizeBytes @returns {Filled} */
  layFilled(sizeBytes) {
    return { buffer: this.lay(sizeBytes), tail: new Uint8Array() };
  }

  /** @param {Filled} filled @param {number} offset @param {Uint8Array} bytes in order: only whole words can be sent */
  fill(filled, offset, bytes) {
    const from = offset - filled.tail.length;
    const all = new Uint8Array(filled.tail.length + bytes.length);
    all.set(filled.tail);
    all.set(bytes, filled.tail.length);
    const whole = all.length & ~3;
    this.#gpu.queue.writeBuffer(filled.buffer, from, all, 0, whole);
    filled.tail = all.slice(whole);
  }

  /** Raises OutOfMemory or PageFault for what was laid out so far. @param {number} sizeBytes all that is held, for the message */
  async settle(sizeBytes) {
    const [wrong, memory] = await awaitGpu(this.#gpu, this.#takeErrors());
    if (memory) throw new Fault('OutOfMemory', `WebGPU gives no ${megabytes(sizeBytes)}: ${memory.message}`);
    if (wrong) throw new Fault('PageFault', wrong.message);
  }

  /**
   * What its scopes caught, validation first; they are off the stack then. Nothing a second time.
   * @returns {Promise<(GPUError | null)[]>}
   */
  async #takeErrors() {
    if (!this.#isWatching) return [];
    this.#isWatching = false;
    return Promise.all([this.#gpu.popErrorScope(), this.#gpu.popErrorScope()]);
  }

  /**
   * The first bytes of a buffer, once everything recorded before is done.
   * @param {import('./webgpu_shaders.js').Shaders} shaders @param {GPUBuffer} buffer @param {number} sizeBytes
   */
  async readBack(shaders, buffer, sizeBytes) {
    if (!this.#staging || this.#staging.size < sizeBytes) {
      this.#staging?.destroy();
      this.#staging = this.#gpu.createBuffer({
        size: sizeBytes,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
    }
    const staging = this.#staging;
    shaders.submit((encoder) => encoder.copyBufferToBuffer(buffer, 0, staging, 0, sizeBytes));
    await awaitGpu(this.#gpu, staging.mapAsync(GPUMapMode.READ, 0, sizeBytes));
    const bytes = staging.getMappedRange(0, sizeBytes).slice(0);
    staging.unmap();
    return bytes;
  }

  release() {
    // A layout that failed: why, was thrown. Of a lost device nothing can be asked.
    this.#takeErrors().catch(() => {});
    for (const buffer of this.#buffers) buffer.destroy();
    this.#staging?.destroy();
    this.#buffers = [];
    this.sizeBytes = 0;
  }
}

const megabytes = (/** @type {number} */ bytes) => `${(bytes / 2 ** 20).toFixed(0)} MB`;
