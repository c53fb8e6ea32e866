import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createEncoder } from '../../browser_runtime/page/engines/low_bits/encoder.js';
import { readEncoderManifest } from '../../browser_runtime/page/engines/low_bits/encoder_manifest.js';
import { openKernels } from '../../browser_runtime/page/kernels/encoder_cases.js';
import { layoutMatrix } from '../../browser_runtime/page/kernels/layout.js';
import { activationLimit, WEIGHT_LIMIT, widenMatrix } from '../../browser_runtime/page/kernels/panels.js';
import * as twins from '../../browser_runtime/page/kernels/twins/encoders.js';
import { packMatrix } from '../../browser_runtime/page/kernels/twins/matrices.js';
import {
  assertNear,
  numbers,
  runImageTwin,
  runTwin,
  tinyEncoder,
  tinyImageEncoder,
} from './tiny_encoders.js';
import { loadKernel } from './wasm_kernels.js';

const VARIANTS = /** @type {const} */ (['relaxed', 'simd']);

/** A matrix of 8 bits. @param {number} rows @param {number} columns @param {number} seed */
function byteMatrix(rows, columns, seed) {
  const layout = layoutMatrix([rows, columns], 8);
  const q = numbers(rows * columns, seed).map((value) => Math.round(127 * value));
  const scales = numbers(rows * Math.ceil(columns / 32), seed + 1).map((value) => 0.01 + Math.abs(value) / 8);
  return { layout, bytes: packMatrix(layout, { q, scales }) };
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

  test(`${variant}: an image is the same whichever come with it, and as its twins compute it`, async () => {
    const { json, bytes, tensors } = tinyImageEncoder();
    const encoder = await createEncoder(json, () => [bytes], { model: 'tiny', variant, load: loadKernel });
    assert.equal(encoder.maxTokens, 3);
    const images = [1, 2, 3].map((seed) => numbers(3 * 4 * 7, seed));
    const together = encoder.run(images, 'tiny');
    for (const [index, each] of images.entries()) {
      assert.deepEqual(encoder.run([each], 'tiny'), [together[index]]);
      assertNear(together[index] ?? [], runImageTwin(tensors, each), 5e-3);
    }
    assertNear(encoder.weights.readAll('head'), tensors.get('head') ?? [], 0);
    assert.throws(() => encoder.run([numbers(5, 1)], 'tiny'), /an image of 5 numbers is none of 3 x 4 x 7/);
    await encoder.free();
  });

  test(`${variant}: attention over more rows than its scores are kept of at once`, async () => {
    const { json, bytes, tensors } = tinyEncoder(150);
    const encoder = await createEncoder(json, () => [bytes], { model: 'tiny', variant, load: loadKernel });
    const ids = Array.from({ length: 150 }, (_, index) => index % 12);
    const [found] = encoder.run([{ ids: Int32Array.from(ids), segments: null }], 'tiny');
    assertNear(found ?? [], runTwin(tensors, ids), 5e-3);
    await encoder.free();
  });
}

/** Reads the manifest that `make` gives, once it was changed. @param {() => {json: any}} make */
const harming = (make) => (/** @type {(json: any) => void} */ change) => () => {
  const { json } = make();
  change(json);
  return readEncoderManifest(json, 'tiny');
};

test('a manifest of an encoder that is not understood is refused by name', () => {
  const harm = harming(tinyEncoder);
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

test('a manifest of an encoder of images that is not understood is refused by name', () => {
  const harm = harming(tinyImageEncoder);
  assert.throws(
    harm((json) => Object.assign(json.architecture, { vocab: 12 })),
    /a key of architecture is "vocab"/,
  );
  assert.throws(
    harm((json) => Object.assign(json.architecture.image, { depth: 3 })),
    /a key of image is "depth"/,
  );
  assert.throws(
    harm((json) => Object.assign(json.architecture.image, { patch: 5 })),
    /patch is 5, not one that fits into the image/,
  );
  assert.throws(
    harm((json) => Object.assign(json.architecture, { image: null })),
    /height is missing, not a whole number from 1 on/,
  );
  assert.throws(
    harm((json) => Object.assign(json.tensors.patches, { bits: 16 })),
    /the bits of patches is 16, not 8/,
  );
  assert.throws(
    harm((json) => delete json.tensors.class_token),
    /tensor class_token is missing/,
  );
});
