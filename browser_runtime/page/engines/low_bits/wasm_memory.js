/** WebAssembly's memory in pieces that never move. It never shrinks; what is freed in it is given out again. */
import { Fault } from '../../faults.js';
import { roundUp } from '../../kernels/layout.js';

const PAGE_BYTES = 65536;
const MAX_PAGES = 65536;
// Reads of 16 bytes may begin on the last bytes of what is theirs.
const SLACK_BYTES = 64;
// How far products read ahead of a matrix, so that its next page is on its way.
const AHEAD_BYTES = 32768;

/** @typedef {{place: number, end: number}} Gap */

export class WasmMemory {
  memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES });
  #next = 64;
  /** @type {Gap[]} what was freed before `#next`, in order, none beside another */
  #gaps = [];

  get buffer() {
    return this.memory.buffer;
  }

  get sizeBytes() {
    return this.buffer.byteLength;
  }

  /** Zeroed bytes that nobody else has. Raises OutOfMemory. @param {number} sizeBytes @returns {number} */
  alloc(sizeBytes) {
    const length = takenBytes(sizeBytes);
    const gap = this.#gaps.find(({ place, end }) => end - place >= length || end === this.#next);
    const place = gap?.place ?? this.#next;
    const end = place + length;
    const missing = Math.ceil((end + AHEAD_BYTES) / PAGE_BYTES) - this.sizeBytes / PAGE_BYTES;
    if (missing > 0) grow(this.memory, missing);
    if (gap) {
      gap.place = Math.min(end, gap.end);
      this.#gaps = this.#gaps.filter((each) => each.place < each.end);
      new Uint8Array(this.buffer, place, length).fill(0);
    }
    this.#next = Math.max(this.#next, end);
    return place;
  }

  /** Gives those bytes back: whoever had them reads and writes them no more. @param {number} place @param {number} sizeBytes */
  free(place, sizeBytes) {
    const freed = { place, end: place + takenBytes(sizeBytes) };
    const gaps = [...this.#gaps, freed].toSorted((a, b) => a.place - b.place);
    /** @type {Gap[]} */
    this.#gaps = [];
    for (const gap of gaps) {
      const last = this.#gaps.at(-1);
      if (last?.end === gap.place) last.end = gap.end;
      else this.#gaps.push(gap);
    }
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

/** What so many bytes take, with those that are read behind them. @param {number} sizeBytes */
const takenBytes = (sizeBytes) => roundUp(sizeBytes, 64) + SLACK_BYTES;

/** @param {WebAssembly.Memory} memory @param {number} pages */
function grow(memory, pages) {
  try {
    memory.grow(pages);
  } catch {
    const asked = (pages * PAGE_BYTES + memory.buffer.byteLength) / 2 ** 20;
    throw new Fault('OutOfMemory', `WebAssembly gives no memory of ${asked.toFixed(0)} MB`);
  }
}
