/** How the next tokens of a step are chosen on the device: what `choose.wgsl` reads. */
import { packChances, packSamplings, packSeen, SAMPLING_BYTES } from './row_choices.js';

// Tokens of a row that are chosen with one reading back.
export const MAX_PASSES = 8;

export class WebGpuChoices {
  #gpu;
  #samplings;
  #chances;
  #seen;

  /**
   * @param {GPUDevice} gpu @param {import('./webgpu_buffers.js').WebGpuBuffers} buffers
   * @param {number} maxRows @param {number} columns of logits
   */
  constructor(gpu, buffers, maxRows, columns) {
    this.#gpu = gpu;
    this.words = Math.ceil(columns / 32);
    this.#samplings = buffers.lay(SAMPLING_BYTES * maxRows);
    this.#chances = buffers.lay(4 * maxRows * MAX_PASSES);
    this.#seen = buffers.lay(4 * maxRows * this.words);
  }

  get buffers() {
    return [this.#samplings, this.#chances, this.#seen];
  }

  /** @param {import('./backend.js').RowChoice[]} choices one a row of the step */
  write(choices) {
    this.#gpu.queue.writeBuffer(this.#samplings, 0, packSamplings(choices));
    this.#gpu.queue.writeBuffer(this.#chances, 0, packChances(choices));
    const marks = packSeen(choices, this.words);
    if (marks) this.#gpu.queue.writeBuffer(this.#seen, 0, marks);
  }
}
