import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { toGrey } from '../../browser_runtime/page/families/images/pixels.js';
import { resize } from '../../browser_runtime/page/families/images/resampling.js';

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
