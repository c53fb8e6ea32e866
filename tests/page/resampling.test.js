import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { planPixels, preparePixels, readPixels, toGrey } from '../../browser_runtime/page/families/pixels.js';
import { resize } from '../../browser_runtime/page/families/resampling.js';

/** @typedef {{height: number, width: number, data: string}} Stored */
/** @typedef {{resample: number, source: Stored, rgb: Stored, grey: Stored, luma: Stored}} Case */

// Made by Pillow itself: fixtures/make_resampled_images.py.
/** @type {{pillow: string, cases: Case[]}} */
const { pillow, cases } = JSON.parse(
  readFileSync(new URL('fixtures/resampled_images.json', import.meta.url), 'utf8'),
);

/** @param {Stored} stored @param {number} channels */
function load({ height, width, data }, channels) {
  return { height, width, channels, data: new Uint8Array(Buffer.from(data, 'base64')) };
}

for (const { resample, source, rgb, grey, luma } of cases) {
  const sizes = `${source.height}x${source.width} to ${rgb.height}x${rgb.width}`;
  test(`filter ${resample} gives the bytes of Pillow ${pillow}: ${sizes}`, () => {
    const image = load(source, 3);
    assert.deepEqual(resize(image, rgb.height, rgb.width, resample), load(rgb, 3));
    assert.deepEqual(toGrey(image), load(luma, 1));
    assert.deepEqual(resize(toGrey(image), grey.height, grey.width, resample), load(grey, 1));
  });
}

test('an unknown filter is refused by its number', () => {
  const image = { height: 1, width: 1, channels: 1, data: new Uint8Array(1) };
  assert.throws(() => resize(image, 2, 2, 0), {
    code: 'Unsupported',
    args: ['resample 0', 'known are 1, 2 and 3'],
  });
});

const HALVES = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };

test('planes hold one channel after the other, rescaled and normalised', () => {
  const plan = planPixels({ size: { height: 1, width: 2 }, ...HALVES }, 3);
  const item = { dtype: 'uint8', shape: [1, 2, 3], data: Uint8Array.of(0, 255, 51, 255, 0, 204) };
  const planes = preparePixels(readPixels(item, 'images[0]'), plan);
  assert.deepEqual(
    [...planes].map((value) => Math.round(value * 1000) / 1000),
    [-1, 1, 1, -1, -0.6, 0.6],
  );
});

test('the shortest edge is resized, then the middle is cropped', () => {
  const config = { size: { shortest_edge: 2 }, do_center_crop: true, crop_size: 2, do_normalize: false };
  const plan = planPixels({ ...config, do_rescale: false }, 1);
  const columns = [10, 10, 50, 50, 90, 90];
  const data = Uint8Array.from({ length: 2 * 6 * 3 }, (_, at) => columns[Math.floor(at / 3) % 6] ?? 0);
  const planes = preparePixels({ data, height: 2, width: 6, channels: 3 }, plan);
  assert.deepEqual([...planes], [50, 50, 50, 50]);
});

test('an image smaller than the crop lies in the middle of black', () => {
  const config = { do_resize: false, do_center_crop: true, crop_size: { height: 3, width: 2 } };
  const plan = planPixels({ ...config, do_rescale: false, do_normalize: false }, 1);
  const planes = preparePixels({ data: Uint8Array.of(7, 7, 7), height: 1, width: 1, channels: 3 }, plan);
  assert.deepEqual([...planes], [0, 0, 0, 7, 0, 0]);
});

test('a preprocessing step that is not known is refused, not left out', () => {
  assert.throws(() => planPixels({ size: 224, crop_pct: 0.9, ...HALVES }, 3), /preprocessing step crop_pct/);
  assert.throws(() => planPixels({ size: { longest_edge: 5 }, ...HALVES }, 3), /shortest_edge/);
  assert.throws(() => planPixels({ size: 4, image_mean: [0.5], image_std: [0.5] }, 3), /channel 1/);
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
