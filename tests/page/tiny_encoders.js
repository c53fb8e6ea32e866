/** Encoders of one layer with random weights, and what they compute with exact products. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { isProduct } from '../../browser_runtime/page/engines/low_bits/encoder_manifest.js';
import { layoutMatrix } from '../../browser_runtime/page/kernels/layout.js';
import * as twins from '../../browser_runtime/page/kernels/twins/encoders.js';
import { packMatrix } from '../../browser_runtime/page/kernels/twins/matrices.js';
import { seededRandom } from './random.js';

/** Numbers from -1 to 1. @param {number} count @param {number} seed */
export function numbers(count, seed) {
  const random = seededRandom(seed);
  return Float32Array.from({ length: count }, () => 2 * random() - 1);
}

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} wanted @param {number} tolerance */
export function assertNear(got, wanted, tolerance) {
  assert.equal(got.length, wanted.length);
  for (let index = 0; index < wanted.length; index++) {
    const off = Math.abs((got[index] ?? Number.NaN) - (wanted[index] ?? Number.NaN));
    assert.ok(off <= tolerance, `number ${index} is ${got[index]}, not ${wanted[index]}`);
  }
}

const LAYERS = { layers: 1, width: 16, heads: 2, ffn: 24 };
/** Seven by four pixels are two patches of three by three, 27 numbers each, filled up to 32. */
const IMAGE_SIZES = { ...LAYERS, image: { height: 4, width: 7, patch: 3, channels: 3 }, classes: 5 };

/** Random weights of a layer for texts, as a model's files and as numbers. @param {number} [positions] */
export function tinyEncoder(positions = 16) {
  const { width } = LAYERS;
  const sizes = { ...LAYERS, vocab: 12, max_positions: positions, token_types: 2 };
  return packEncoder(sizes, [
    ['words', [sizes.vocab, width]],
    ['positions', [positions, width]],
    ['token_types', [sizes.token_types, width]],
  ]);
}

/** The same for images. */
export function tinyImageEncoder() {
  const { width } = LAYERS;
  return packEncoder(IMAGE_SIZES, [
    ['patches', [width, 32]],
    ['patches_bias', [width]],
    ['class_token', [width]],
    ['positions', [3, width]],
    ['head', [IMAGE_SIZES.classes, width]],
    ['head_bias', [IMAGE_SIZES.classes]],
  ]);
}

/** @param {object} sizes @param {[string, number[]][]} inputs */
function packEncoder(sizes, inputs) {
  const { width, ffn } = LAYERS;
  const square = [width, width];
  const matrices = { q: square, k: square, v: square, o: square, up: [ffn, width], down: [width, ffn] };
  const parts = ['attention_norm', 'attention_norm_bias', 'ffn_norm', 'ffn_norm_bias'];
  /** @type {Map<string, number[]>} */
  const shapes = new Map([
    ...inputs,
    ...['norm', 'norm_bias', ...parts.map((name) => `layers.0.${name}`)].map(
      (name) => /** @type {[string, number[]]} */ ([name, [width]]),
    ),
    ...Object.entries(matrices).flatMap(([name, shape]) => [
      /** @type {[string, number[]]} */ ([`layers.0.${name}`, shape]),
      /** @type {[string, number[]]} */ ([`layers.0.${name}_bias`, [shape[0] ?? 0]]),
    ]),
  ]);
  const entries = [];
  const pieces = [];
  /** @type {Map<string, Float32Array>} */
  const tensors = new Map();
  let offset = 0;
  for (const [name, shape] of shapes) {
    const isCoded = shape.length === 2 && isProduct(name);
    const layout = layoutMatrix(shape, isCoded ? 8 : 32);
    const { rows, columns, paddedColumns } = layout;
    const q = numbers(rows * columns, 17 + offset).map((value) => Math.round(127 * value));
    const scales = new Float32Array(rows * Math.ceil(columns / 32)).fill(1 / 128);
    const values = isCoded ? q.map((code) => code / 128) : numbers(rows * columns, 19 + offset);
    tensors.set(name, values);
    const padded = new Float32Array(isCoded ? 0 : layout.sizeBytes / 4);
    for (let row = 0; row < (isCoded ? 0 : rows); row++)
      padded.set(values.subarray(row * columns, (row + 1) * columns), row * paddedColumns);
    pieces.push(isCoded ? packMatrix(layout, { q, scales }) : new Uint8Array(padded.buffer));
    entries.push([name, { shape, bits: layout.bits, shard: 0, offset, size_bytes: layout.sizeBytes }]);
    offset += layout.sizeBytes;
  }
  const bytes = new Uint8Array(offset);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  const json = {
    format: 'webinfer-low-bits',
    version: 1,
    architecture: structuredClone({ ...sizes, norm_eps: 1e-5, activation: 'gelu' }),
    tensors: Object.fromEntries(entries),
    shards: [{ path: 'a.bin', size_bytes: offset, sha256: createHash('sha256').update(bytes).digest('hex') }],
  };
  return { json, bytes, tensors };
}

/** A layer with exact products. @param {Map<string, Float32Array>} tensors */
function openTwin(tensors) {
  const { width, heads } = LAYERS;
  const get = (/** @type {string} */ name) => tensors.get(name) ?? new Float32Array();
  const multiply = (/** @type {ArrayLike<number>} */ x, /** @type {string} */ name) => {
    const [w, b] = [get(name), get(`${name}_bias`)];
    const columns = w.length / b.length;
    return Float32Array.from({ length: (x.length / columns) * b.length }, (_, at) => {
      const [token, out] = [Math.floor(at / b.length), at % b.length];
      let sum = b[out] ?? 0;
      for (let k = 0; k < columns; k++) sum += (w[out * columns + k] ?? 0) * (x[token * columns + k] ?? 0);
      return sum;
    });
  };
  const normalise = (/** @type {ArrayLike<number>} */ x, /** @type {string} */ name) =>
    twins.layerNorm(Float64Array.from(x), get(name), get(`${name}_bias`), 1e-5);
  const attend = (/** @type {ArrayLike<number>} */ x) => {
    const [q, k, v] = ['q', 'k', 'v'].map((name) => multiply(x, `layers.0.${name}`));
    const [dim, rows] = [width / heads, x.length / width];
    const mixed = new Float64Array(x.length);
    for (let head = 0; head < heads; head++) {
      const cut = (/** @type {Float32Array | undefined} */ all) =>
        Float32Array.from(
          { length: rows * dim },
          (_, at) => (all ?? [])[Math.floor(at / dim) * width + head * dim + (at % dim)] ?? 0,
        );
      for (const [at, value] of twins.attend(cut(q), cut(k), cut(v), dim).entries())
        mixed[Math.floor(at / dim) * width + head * dim + (at % dim)] = value;
    }
    return multiply(mixed, 'layers.0.o');
  };
  const feed = (/** @type {ArrayLike<number>} */ x) =>
    multiply(multiply(x, 'layers.0.up').map(twins.gelu), 'layers.0.down');
  return { get, multiply, normalise, attend, feed };
}

const add = (/** @type {ArrayLike<number>} */ x, /** @type {ArrayLike<number>} */ y) =>
  Float64Array.from(x, (value, index) => value + (y[index] ?? 0));

/** A text's vectors: norms behind the blocks. @param {Map<string, Float32Array>} tensors @param {number[]} ids */
export function runTwin(tensors, ids) {
  const { width } = LAYERS;
  const { get, normalise, attend, feed } = openTwin(tensors);
  const row = (/** @type {string} */ name, /** @type {number} */ index) =>
    get(name).subarray(index * width, (index + 1) * width);
  const sums = ids.flatMap((id, at) => [
    ...add(add(row('words', id), row('positions', at)), row('token_types', 0)),
  ]);
  const x = normalise(sums, 'norm');
  const y = normalise(add(x, attend(x)), 'layers.0.attention_norm');
  return normalise(add(y, feed(y)), 'layers.0.ffn_norm');
}

/** An image's vectors: norms before the blocks. @param {Map<string, Float32Array>} tensors @param {Float32Array} planes */
export function runImageTwin(tensors, planes) {
  const { height, width, patch, channels } = IMAGE_SIZES.image;
  const { get, multiply, normalise, attend, feed } = openTwin(tensors);
  const cut = (/** @type {number} */ left) =>
    Array.from({ length: 32 }, (_, at) => {
      const [channel, row, column] = [
        Math.floor(at / patch ** 2),
        Math.floor(at / patch) % patch,
        at % patch,
      ];
      return channel < channels ? (planes[(channel * height + row) * width + left + column] ?? 0) : 0;
    });
  const patches = multiply([...cut(0), ...cut(patch)], 'patches');
  let x = add([...get('class_token'), ...patches], get('positions'));
  x = add(x, attend(normalise(x, 'layers.0.attention_norm')));
  x = add(x, feed(normalise(x, 'layers.0.ffn_norm')));
  return normalise(x, 'norm');
}
