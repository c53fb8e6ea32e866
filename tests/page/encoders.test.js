import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { createEncoder } from '../../browser_runtime/page/engines/low_bits/encoder.js';
import { readEncoderManifest } from '../../browser_runtime/page/engines/low_bits/encoder_manifest.js';
import { openKernels } from '../../browser_runtime/page/kernels/encoder_cases.js';
import { layoutMatrix } from '../../browser_runtime/page/kernels/layout.js';
import { activationLimit, WEIGHT_LIMIT, widenMatrix } from '../../browser_runtime/page/kernels/panels.js';
import * as twins from '../../browser_runtime/page/kernels/twins/encoders.js';
import { packMatrix } from '../../browser_runtime/page/kernels/twins/matrices.js';
import { seededRandom } from './random.js';
import { loadKernel } from './wasm_kernels.js';

const VARIANTS = /** @type {const} */ (['relaxed', 'simd']);

/** Numbers from -1 to 1. @param {number} count @param {number} seed */
function numbers(count, seed) {
  const random = seededRandom(seed);
  return Float32Array.from({ length: count }, () => 2 * random() - 1);
}

/** A matrix of 8 bits. @param {number} rows @param {number} columns @param {number} seed */
function byteMatrix(rows, columns, seed) {
  const layout = layoutMatrix([rows, columns], 8);
  const q = numbers(rows * columns, seed).map((value) => Math.round(127 * value));
  const scales = numbers(rows * Math.ceil(columns / 32), seed + 1).map((value) => 0.01 + Math.abs(value) / 8);
  return { layout, bytes: packMatrix(layout, { q, scales }) };
}

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} wanted @param {number} tolerance */
function assertNear(got, wanted, tolerance) {
  assert.equal(got.length, wanted.length);
  for (let index = 0; index < wanted.length; index++) {
    const off = Math.abs((got[index] ?? Number.NaN) - (wanted[index] ?? Number.NaN));
    assert.ok(off <= tolerance, `number ${index} is ${got[index]}, not ${wanted[index]}`);
  }
}

for (const variant of VARIANTS) {
  for (const [rows, columns] of /** @type {const} */ ([
    [8, 8],
    [16, 40],
    [24, 136],
  ])) {
    test(`${variant}: a matrix of ${rows}x${columns} is widened as its twin does it`, async () => {
      const { memory, kernels, put } = await openKernels(variant, loadKernel);
      const { layout, bytes } = byteMatrix(rows, columns, 5);
      const [codes, scales] = [new Int16Array(rows * columns), new Float32Array(rows)];
      const { longest } = widenMatrix(bytes, layout, codes, scales);
      const at = put(bytes);
      const [wide, ws] = [memory.alloc(codes.byteLength), memory.alloc(scales.byteLength)];
      const sizes = [layout.blocks, layout.tiles, columns, WEIGHT_LIMIT];
      const found = kernels.widen_matrix?.(at, at + layout.groups, wide, ws, ...sizes) ?? 0;
      assertNear(memory.floats(ws, rows), scales, 1e-7);
      // A number in the middle between two codes may go to either.
      assertNear(new Int16Array(memory.buffer, wide, codes.length), codes, 1);
      assert.ok(Math.abs(found - longest) <= columns / 8, `${found} is not ${longest}`);
    });
  }

  for (const tokens of [1, 2, 3, 4, 5, 9, 13]) {
    test(`${variant}: a product for ${tokens} tokens`, async () => {
      const { memory, kernels, put } = await openKernels(variant, loadKernel);
      const [rows, columns] = [24, 72];
      const w = { codes: new Int16Array(rows * columns), scales: new Float32Array(rows) };
      const { layout, bytes } = byteMatrix(rows, columns, 7);
      const limit = activationLimit(widenMatrix(bytes, layout, w.codes, w.scales).longest);
      const [values, biases] = [numbers(tokens * columns, 11), numbers(rows, 13)];
      if (tokens > 1) values.fill(0, 0, columns);
      const x = twins.widenRows(values, columns, limit);
      const [codes, scales] = [memory.alloc(x.codes.byteLength), memory.alloc(x.scales.byteLength)];
      kernels.widen?.(put(values), 4 * columns, codes, scales, tokens, columns, limit);
      const got = {
        codes: new Int16Array(memory.buffer, codes, x.codes.length),
        scales: memory.floats(scales, tokens),
      };
      assertNear(got.scales, x.scales, 1e-7);
      assertNear(got.codes, x.codes, 1);
      const exact = twins.multiplyPanels(
        w,
        { codes: got.codes.slice(), scales: got.scales.slice() },
        biases,
        columns,
      );
      const y = memory.alloc(4 * tokens * rows);
      const places = [put(w.codes), put(w.scales), put(biases), codes, scales, y];
      kernels.matwide?.(...places, 4 * rows, tokens, rows / 8, columns);
      assertNear(memory.floats(y, tokens * rows), exact, 1e-5);
    });
  }

  test(`${variant}: gelu and relu`, async () => {
    const { memory, kernels, put } = await openKernels(variant, loadKernel);
    const x = Float32Array.from({ length: 400 }, (_, index) => (index - 200) / 20);
    for (const [name, twin] of /** @type {const} */ ([
      ['gelu', twins.gelu],
      ['relu', (/** @type {number} */ value) => Math.max(0, value)],
    ])) {
      const place = put(x);
      kernels[name]?.(place, x.length);
      assertNear(memory.floats(place, x.length), Array.from(x, twin), 2e-6);
    }
  });

  test(`${variant}: the norm of a sum`, async () => {
    const { memory, kernels, put } = await openKernels(variant, loadKernel);
    const [rows, width] = [3, 20];
    const [x, r] = [numbers(rows * width, 3), numbers(rows * width, 4)];
    const [weight, bias] = [numbers(width, 5), numbers(width, 6)];
    const place = put(x);
    kernels.layer_norm?.(place, put(r), put(weight), put(bias), place, 4 * width, rows, width, 1e-5);
    const z = Float64Array.from(x, (value, index) => value + (r[index] ?? 0));
    assertNear(memory.floats(place, rows * width), twins.layerNorm(z, weight, bias, 1e-5), 1e-5);
  });

  test(`${variant}: an encoder's token is the same whichever texts come with it, and as its twins compute it`, async () => {
    const { json, bytes, tensors } = tinyEncoder();
    const options = { model: 'tiny', maxTokens: 16, variant, load: loadKernel };
    const encoder = await createEncoder(json, () => [bytes.subarray(0, 1000), bytes.subarray(1000)], options);
    const text = (/** @type {number[]} */ ...ids) => ({ ids: Int32Array.from(ids), segments: null });
    const texts = [text(1, 2, 3, 4, 5, 6, 7, 8, 9), text(4), text(9, 8, 7, 6)];
    const together = encoder.run(texts, 'tiny');
    for (const [index, each] of texts.entries())
      assert.deepEqual(encoder.run([each], 'tiny'), [together[index]]);
    assertNear(together[2] ?? [], runTwin(tensors, [9, 8, 7, 6]), 5e-3);
    assert.throws(() => encoder.run([text(99)], 'tiny'), /token 99 of segment 0 is beyond its 12 words/);
    assert.deepEqual(encoder.facts.weight_bits, [8]);
    await encoder.free();
  });
}

const SIZES = { layers: 1, width: 16, heads: 2, ffn: 24, vocab: 12, max_positions: 16, token_types: 2 };

/** Random weights of one layer, as a model's files and as numbers. */
function tinyEncoder() {
  const { width, ffn } = SIZES;
  const vectors = { norm: width, norm_bias: width };
  const square = [width, width];
  const matrices = { q: square, k: square, v: square, o: square, up: [ffn, width], down: [width, ffn] };
  const parts = ['attention_norm', 'attention_norm_bias', 'ffn_norm', 'ffn_norm_bias'];
  const shapes = new Map([
    ['words', [SIZES.vocab, width]],
    ['positions', [SIZES.max_positions, width]],
    ['token_types', [SIZES.token_types, width]],
    ...Object.entries(vectors).map(([name, size]) => /** @type {[string, number[]]} */ ([name, [size]])),
    ...parts.map((name) => /** @type {[string, number[]]} */ ([`layers.0.${name}`, [width]])),
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
    const isCoded = shape.length === 2 && name.startsWith('layers.');
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
    architecture: { ...SIZES, norm_eps: 1e-5, activation: 'gelu' },
    tensors: Object.fromEntries(entries),
    shards: [{ path: 'a.bin', size_bytes: offset, sha256: createHash('sha256').update(bytes).digest('hex') }],
  };
  return { json, bytes, tensors };
}

/** The same layer with exact products. @param {Map<string, Float32Array>} tensors @param {number[]} ids */
function runTwin(tensors, ids) {
  const { width, heads } = SIZES;
  const get = (/** @type {string} */ name) => tensors.get(name) ?? new Float32Array();
  const row = (/** @type {string} */ name, /** @type {number} */ index) =>
    get(name).subarray(index * width, (index + 1) * width);
  const dense = (/** @type {ArrayLike<number>} */ x, /** @type {string} */ name) => {
    const [w, b] = [get(`layers.0.${name}`), get(`layers.0.${name}_bias`)];
    const columns = w.length / b.length;
    return Float32Array.from({ length: (x.length / columns) * b.length }, (_, at) => {
      const [token, out] = [Math.floor(at / b.length), at % b.length];
      let sum = b[out] ?? 0;
      for (let k = 0; k < columns; k++) sum += (w[out * columns + k] ?? 0) * (x[token * columns + k] ?? 0);
      return sum;
    });
  };
  const normal = (
    /** @type {ArrayLike<number>} */ x,
    /** @type {ArrayLike<number>} */ r,
    /** @type {string} */ name,
  ) => {
    const z = Float64Array.from(x, (value, index) => value + (r[index] ?? 0));
    return twins.layerNorm(z, get(name), get(`${name}_bias`), 1e-5);
  };
  const words = ids.flatMap((id) => [...row('words', id)]);
  const rest = ids.flatMap((_, at) =>
    Array.from(row('positions', at), (value, d) => value + (row('token_types', 0)[d] ?? 0)),
  );
  const x = normal(words, rest, 'norm');
  const [q, k, v] = ['q', 'k', 'v'].map((name) => dense(x, name));
  const dim = width / heads;
  const mixed = new Float64Array(x.length);
  for (let head = 0; head < heads; head++) {
    const cut = (/** @type {Float32Array | undefined} */ all) =>
      Float32Array.from(
        { length: ids.length * dim },
        (_, at) => (all ?? [])[Math.floor(at / dim) * width + head * dim + (at % dim)] ?? 0,
      );
    for (const [at, value] of twins.attend(cut(q), cut(k), cut(v), dim).entries())
      mixed[Math.floor(at / dim) * width + head * dim + (at % dim)] = value;
  }
  const y = normal(x, dense(mixed, 'o'), 'layers.0.attention_norm');
  return normal(y, dense(dense(y, 'up').map(twins.gelu), 'down'), 'layers.0.ffn_norm');
}

test('a manifest of an encoder that is not understood is refused by name', () => {
  const harm = (/** @type {(json: any) => void} */ change) => {
    const { json } = tinyEncoder();
    change(json);
    return () => readEncoderManifest(json, 'tiny');
  };
  assert.throws(
    harm((json) => Object.assign(json.architecture, { activation: 'silu' })),
    /activation is "silu", not one of gelu/,
  );
  assert.throws(
    harm((json) => Object.assign(json.architecture, { heads: 4 })),
    /width is 16, not a multiple of 8 heads \(32\)/,
  );
  assert.throws(
    harm((json) => Object.assign(json.architecture, { rope: {} })),
    /a key of architecture is "rope"/,
  );
  assert.throws(
    harm((json) => Object.assign(json.tensors['layers.0.q'], { bits: 4 })),
    /the bits of layers\.0\.q is 4, not 8/,
  );
  assert.throws(
    harm((json) => delete json.tensors.norm),
    /tensor norm is missing/,
  );
});
