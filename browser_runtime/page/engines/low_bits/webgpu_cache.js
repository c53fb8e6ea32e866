/** The cache of keys and values of one backend in WGSL, and attention over it: a buffer a layer, a place a slot. */
import { BLOCK_TOKENS, roundUp } from '../../kernels/layout.js';
import { floatsOf, groupsOf } from './webgpu_shaders.js';

/** @typedef {import('./backend.js').Rows} Rows */
/** @typedef {import('./backend.js').StepRow} StepRow */
/** @typedef {import('./backend.js').CacheShape} CacheShape */
/** @typedef {{buffer: GPUBuffer, rows: StepRow[], maxRows: number}} Step the rows, on the device too; the most of any */

export class WebGpuCache {
  #shape;
  #shaders;
  #buffers;
  #layers;
  #spare;
  /** @type {GPUBuffer | null} of queries against every token that there is room for; laid out by the first step */
  #scores = null;

  /**
   * @param {CacheShape} shape
   * @param {import('./webgpu_shaders.js').Shaders} shaders
   * @param {import('./webgpu_buffers.js').WebGpuBuffers} buffers of the backend
   */
  constructor(shape, shaders, buffers) {
    this.#shape = shape;
    this.#shaders = shaders;
    this.#buffers = buffers;
    const layerBytes = (shape.slots * shape.slotBytes) / shape.layers;
    this.#layers = Array.from({ length: shape.layers }, () => buffers.lay(layerBytes));
    this.#spare = buffers.lay(shape.slotBytes / shape.layers);
  }

  /** @param {number} layer @param {Step} step @param {Rows} keys @param {Rows} values */
  append(layer, step, keys, values) {
    this.#appendSide(layer, step, 'keys', keys);
    this.#appendSide(layer, step, 'values', values);
  }

  /** @param {number} layer @param {Step} step @param {'keys' | 'values'} name @param {Rows} x */
  #appendSide(layer, step, name, x) {
    const shape = this.#shape;
    const count = (shape.kvHeads * shape.headDim) / 2;
    const { slotWords, headWords, first } = words(shape, name);
    const params = [count, x.stride, shape.headDim, shape[name].places, slotWords, headWords, first];
    const buffers = [step.buffer, floatsOf(x), this.#layer(layer)];
    this.#shaders.run('append', {}, params, buffers, [groupsOf(count), step.rows.length]);
  }

  /** @param {number} layer @param {Step} step @param {Rows} queries @param {Rows} out */
  attend(layer, step, queries, out) {
    const shape = this.#shape;
    const { heads, kvHeads, headDim, window, keys, values } = shape;
    const context = roundUp(shape.context, 64);
    this.#scores ??= this.#buffers.lay(4 * step.maxRows * heads * context);
    const { slotWords, headWords } = words(shape, 'keys');
    const sides = [...sideParams(shape, 'keys'), ...sideParams(shape, 'values')];
    const places = [queries.stride, slotWords, headWords, window, context];
    const params = [heads, heads / kvHeads, headDim, ...places, ...sides];
    const buffers = [step.buffer, floatsOf(queries), this.#layer(layer), this.#scores, floatsOf(out)];
    const constants = { K_BITS: keys.bits, V_BITS: values.bits };
    this.#shaders.run('attend', constants, params, buffers, [heads, step.rows.length]);
    for (const row of step.rows) if ((row.position + 1) % BLOCK_TOKENS === 0) this.#pack(layer, row);
  }

  /** Packs the block that leaves the window after `position`. @param {number} layer @param {StepRow} row */
  #pack(layer, { slot, position }) {
    const shape = this.#shape;
    const block = (position + 1 - shape.window) / BLOCK_TOKENS - 1;
    if (block < 0) return;
    for (const name of /** @type {const} */ (['keys', 'values'])) {
      const side = shape[name];
      if (side.bits === 16) continue;
      const { rows, columns, group, clip, high, scales, minima, sizeBytes } = side.block;
      const { slotWords, headWords, first } = words(shape, name);
      const source = (((block * BLOCK_TOKENS) % side.places) * shape.headDim) / 2;
      const target = (side.ringBytes + block * sizeBytes) / 4;
      const shared = [rows, columns, group, Number(name === 'keys'), headWords, slot * slotWords + first];
      const params = [...shared, source, target, high / 4, scales / 4, minima / 4];
      const buffers = [this.#layer(layer)];
      const constants = { BITS: side.bits, CLIP: clip };
      for (const [kernel, n] of /** @type {const} */ ([
        ['pack_scales', ((rows / group) * columns) / 2],
        ['pack_codes', (rows * columns) / 32],
      ])) {
        this.#shaders.run(kernel, constants, params, buffers, [groupsOf(n), 1, shape.kvHeads]);
      }
    }
  }

  /** @param {number} from @param {number} to */
  copySlot(from, to) {
    const spare = this.#spare;
    const sizeBytes = this.#shape.slotBytes / this.#shape.layers;
    this.#shaders.submit((encoder) => {
      for (const layer of this.#layers) {
        // Within one buffer nothing can be copied directly.
        encoder.copyBufferToBuffer(layer, from * sizeBytes, spare, 0, sizeBytes);
        encoder.copyBufferToBuffer(spare, 0, layer, to * sizeBytes, sizeBytes);
      }
    });
  }

  /** @param {number} layer */
  #layer(layer) {
    return /** @type {GPUBuffer} */ (this.#layers[layer]);
  }
}

/** Where a side begins in a layer's buffer, in u32. @param {CacheShape} shape @param {'keys' | 'values'} name */
function words(shape, name) {
  const headWords = (shape.keys.headBytes + shape.values.headBytes) / 4;
  const first = name === 'keys' ? 0 : shape.keys.headBytes / 4;
  return { slotWords: shape.slotBytes / shape.layers / 4, headWords, first };
}

/** @param {CacheShape} shape @param {'keys' | 'values'} name */
function sideParams(shape, name) {
  const { places, ringBytes, block } = shape[name];
  const { first } = words(shape, name);
  const { sizeBytes, high, scales, minima, group } = block;
  return [places, first, first + ringBytes / 4, sizeBytes / 4, high / 4, scales / 4, minima / 4, group];
}
