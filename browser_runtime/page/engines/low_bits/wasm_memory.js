/** WebAssembly's memory, laid out once: nothing in it is freed or moved; it goes as a whole. */
import { Fault } from '../../faults.js';
import { roundUp } from '../../kernels/layout.js';

const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;
// Reads of 16 bytes may begin on the last bytes of what is theirs.
const SLACK_BYTES = 64;
// How far products read ahead of a matrix, so that its next page is on its way.
const AHEAD_BYTES = 32768;

export class WasmMemory {
  memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES });
  #next = 64;

  get buffer() {
    return this.memory.buffer;
  }

  get sizeBytes() {
    return this.buffer.byteLength;
  }

  /** Zeroed bytes that nobody else has. Raises OutOfMemory. @param {number} sizeBytes @returns {number} */
  alloc(sizeBytes) {
    const place = this.#next;
    const end = place + roundUp(sizeBytes, 64) + SLACK_BYTES;
    const missing = Math.ceil((end + AHEAD_BYTES) / PAGE_BYTES) - this.sizeBytes / PAGE_BYTES;
    if (missing > 0) grow(this.memory, missing);
    this.#next = end;
    return place;
  }

  /** @param {number} place @param {number} count */
  floats(place, count) {
    return new Float32Array(this.buffer, place, count);
  }

  /** Drops what it holds: nothing of it can be used any more. */
  release() {
    this.memory = new WebAssembly.Memory({ initial: 1 });
  }
}

/** @param {WebAssembly.Memory} memory @param {number} pages */
function grow(memory, pages) {
  try {
    memory.grow(pages);
  } catch {
    const asked = (pages * PAGE_BYTES + memory.buffer.byteLength) / 2 ** 20;
    throw new Fault('OutOfMemory', `WebAssembly gives no memory of ${asked.toFixed(0)} MB`);
  }
}
