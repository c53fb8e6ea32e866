import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { cutTiles, preparePixels, readPixels } from '../../browser_runtime/page/families/images/pixels.js';

/** @typedef {{height: number, width: number, data: string}} Stored */
/** @typedef {{values?: string, sha256?: string}} Output */
/** @typedef {{preprocessor: object, plan: any, outputs: Output[]}} Case */

// Made by transformers itself: fixtures/make_pixel_values.py. The plan is what the worker makes of the files.
/** @type {{transformers: string, images: Stored[], levels: string[], cases: Case[]}} */
const { transformers, images, levels, cases } = JSON.parse(
  readFileSync(new URL('fixtures/pixel_values.json', import.meta.url), 'utf8'),
);

/** @param {string} text */
const decode = (text) => new Uint8Array(Buffer.from(text, 'base64'));
/** @param {string} text */
const decodeFloats = (text) => new Float32Array(decode(text).buffer);

/** @param {any} plan */
const loadPlan = (plan) => ({ ...plan, levels: { data: decodeFloats(levels[plan.levels] ?? '') } });

for (const { preprocessor, plan, outputs } of cases) {
  const words = JSON.stringify(preprocessor).slice(0, 100);
  test(`pixels are those of transformers ${transformers}: ${words}`, () => {
    for (const [index, { height, width, data }] of images.entries()) {
      const image = { height, width, channels: 3, data: decode(data) };
      const loaded = loadPlan(plan);
      const tiles = cutTiles(image, loaded).map((tile) => preparePixels(tile, loaded));
      const planes = Float32Array.from(tiles.flatMap((tile) => [...tile]));
      const { values, sha256 } = outputs[index] ?? {};
      if (values) assert.deepEqual(planes, decodeFloats(values));
      else assert.equal(createHash('sha256').update(planes).digest('hex'), sha256);
    }
  });
}

const RAW = { levels: { data: Float32Array.from({ length: 256 }, (_, level) => level) } };

test('an extreme image costs what the model sees of it', () => {
  const plan = {
    channels: 1,
    height: 224,
    width: 224,
    resize: { shortest: 224 },
    resample: 2,
    flipped: false,
    tiles: null,
  };
  const data = Uint8Array.from({ length: 30000 * 2 * 3 }, (_, at) => at % 251);
  const started = performance.now();
  for (const [height, width] of /** @type {const} */ ([
    [2, 30000],
    [30000, 2],
  ])) {
    const planes = preparePixels({ data, height, width, channels: 3 }, { ...plan, ...RAW });
    assert.equal(planes.length, 224 * 224);
  }
  // The whole resized image has 752 million pixels; the part that is seen has 50 thousand.
  assert.ok(performance.now() - started < 5000);
});

test('what is no image is refused by name and shape', () => {
  const wrong = { dtype: 'float32', shape: [2, 2], data: new Float32Array(4) };
  assert.throws(() => readPixels(wrong, 'images[3]'), {
    code: 'BadInput',
    args: ['images[3]', 'float32 of shape [2,2]', 'uint8 of shape [height, width, 3]'],
  });
  assert.throws(() => readPixels('x', 'images[0]'), { code: 'BadInput' });
  const empty = { dtype: 'uint8', shape: [0, 4, 3], data: new Uint8Array(0) };
  assert.throws(() => readPixels(empty, 'images[0]'), { code: 'BadInput' });
});
