/** What comes into an encoder: texts as tokens, or images as planes of pixels, each made rows of x and h. */
import { Fault } from '../../faults.js';
import { patchesOf } from './encoder_manifest.js';

/** @typedef {{ids: Int32Array, segments: Int32Array | null}} Tokens */
/**
 * @typedef {object} Rows where an encoder is written to, and what it reads
 * @property {string} model named in errors
 * @property {(name: string, row: number, out: Float32Array) => void} read a row of a tensor that was kept
 * @property {(row: number, count?: number) => Float32Array} x rows of the encoder's sum, from `row` on
 * @property {(row: number) => Float32Array} h the row that is added to it
 * @property {(count: number) => Float32Array} patches room for numbers of patches
 * @property {(row: number, count: number) => void} multiplyPatches makes rows of x of them, from `row` on
 */

/** Texts: words, positions and types of tokens. */
export class TextInput {
  /** @param {import('./encoder_manifest.js').TextArchitecture} architecture */
  constructor(architecture) {
    this.architecture = architecture;
    this.mostRows = architecture.max_positions;
    this.kept = ['words', 'positions', 'token_types'];
    this.patchColumns = 0;
  }

  /** @param {Tokens} text */
  count({ ids }) {
    return ids.length;
  }

  /** Words into x, positions and token types into h. Raises ModelFault. @param {Tokens} text @param {number} first row @param {Rows} to */
  embed({ ids, segments }, first, to) {
    const { width, vocab, token_types: nTypes } = this.architecture;
    const type = new Float32Array(width);
    for (const [position, id] of ids.entries()) {
      const kind = segments?.[position] ?? 0;
      if (!(id >= 0 && id < vocab && kind >= 0 && kind < nTypes)) {
        const text = `token ${id} of segment ${kind} is beyond its ${vocab} words and ${nTypes} token types`;
        throw new Fault('ModelFault', to.model, text);
      }
      to.read('words', id, to.x(first + position));
      const rest = to.h(first + position);
      to.read('positions', position, rest);
      to.read('token_types', kind, type);
      for (let column = 0; column < width; column++) rest[column] = (rest[column] ?? 0) + (type[column] ?? 0);
    }
  }
}

/** Images: a class token, and a product for each patch. */
export class ImageInput {
  /** @param {import('./encoder_manifest.js').ImageArchitecture} architecture */
  constructor(architecture) {
    this.architecture = architecture;
    this.patches = patchesOf(architecture.image);
    this.mostRows = 1 + this.patches.count;
    this.kept = ['class_token', 'positions', 'head', 'head_bias'];
    this.patchColumns = this.patches.columns;
  }

  count() {
    return this.mostRows;
  }

  /** The class token and the patches into x, positions into h. Raises ModelFault. @param {Float32Array} planes @param {number} first row @param {Rows} to */
  embed(planes, first, to) {
    const { channels, height, width } = this.architecture.image;
    if (planes.length !== channels * height * width) {
      const text = `an image of ${planes.length} numbers is none of ${channels} x ${height} x ${width}`;
      throw new Fault('ModelFault', to.model, text);
    }
    this.#cut(planes, to.patches(this.patches.count * this.patches.columns));
    to.multiplyPatches(first + 1, this.patches.count);
    to.read('class_token', 0, to.x(first));
    for (let row = 0; row < this.mostRows; row++) to.read('positions', row, to.h(first + row));
  }

  /** Each patch as [channel, row, column], and zeros up to its columns. @param {Float32Array} planes @param {Float32Array} out */
  #cut(planes, out) {
    const { channels, height, width, patch } = this.architecture.image;
    const { count, across, columns } = this.patches;
    out.fill(0);
    for (let index = 0; index < count; index++) {
      const [top, left] = [patch * Math.floor(index / across), patch * (index % across)];
      for (let line = 0; line < channels * patch; line++) {
        const [channel, row] = [Math.floor(line / patch), top + (line % patch)];
        const from = (channel * height + row) * width + left;
        out.set(planes.subarray(from, from + patch), index * columns + line * patch);
      }
    }
  }
}
