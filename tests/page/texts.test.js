import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  pickBucket,
  sequenceBuckets,
  splitBatches,
} from '../../browser_runtime/page/families/graphs/buckets.js';
import { POOLS } from '../../browser_runtime/page/families/texts/pooling.js';
import { applyModules, cutVector } from '../../browser_runtime/page/families/texts/sentence_modules.js';
import { padTexts, readTokens } from '../../browser_runtime/page/families/texts/tokens.js';

/** An item as it comes from the worker. @param {number[]} ids @param {number[]} [segments] */
const item = (ids, segments) => ({
  ids: { data: Int32Array.from(ids) },
  segments: segments && { data: Int32Array.from(segments) },
  truncated: false,
});

test('an item without tokens is refused by name', () => {
  assert.deepEqual([...readTokens(item([101, 102]), 'texts[0]').ids], [101, 102]);
  for (const none of [7, 'a text', item([]), { ids: { data: Float32Array.of(1) } }]) {
    assert.throws(() => readTokens(none, 'texts[5]'), {
      code: 'BadInput',
      args: ['texts[5]', 'without tokens', 'a text of at least one token'],
    });
  }
});

test('texts are padded on the right, and rows without a text attend to their first token', () => {
  const texts = [readTokens(item([101, 97, 98, 102], [0, 0, 0, 2]), ''), readTokens(item([101, 102]), '')];
  const { ids, mask, segments } = padTexts(texts, 3, 5, 1);
  assert.deepEqual([...ids].map(Number), [101, 97, 98, 102, 1, 101, 102, 1, 1, 1, 1, 1, 1, 1, 1]);
  assert.deepEqual([...mask].map(Number), [1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
  assert.deepEqual([...segments].map(Number), [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
});

test('buckets end at what the model takes', () => {
  assert.deepEqual(sequenceBuckets(256), [16, 32, 64, 128, 256]);
  assert.deepEqual(sequenceBuckets(100), [16, 32, 64, 100]);
  assert.deepEqual(sequenceBuckets(8), [8]);
  assert.equal(pickBucket(17, [16, 32]), 32);
  assert.equal(pickBucket(16, [16, 32]), 16);
  assert.throws(() => pickBucket(33, [16, 32]), RangeError);
});

test('batches keep the order and the rest', () => {
  assert.deepEqual(splitBatches([1, 2, 3, 4, 5], 2), [[1, 2], [3, 4], [5]]);
  assert.deepEqual(splitBatches([], 2), []);
});

// Two rows of three tokens of two numbers; the last token of the first row is padding.
const HIDDEN = { data: Float32Array.of(1, 2, 3, 6, 1e9, NaN, 1, 1, 2, 2, 6, 3), columns: 3, width: 2 };

/** @param {string} mode @param {number} row @param {number} first @param {number} end */
const pool = (mode, row, first, end) => [...(POOLS[mode]?.(HIDDEN, row, first, end) ?? [])];

test('each pooling takes a text’s own tokens alone', () => {
  assert.deepEqual(pool('mean', 0, 0, 2), [2, 4]);
  assert.deepEqual(pool('mean', 1, 0, 3), [3, 2]);
  assert.deepEqual(pool('mean_sqrt_len_tokens', 0, 0, 2), [4 / Math.SQRT2, 8 / Math.SQRT2]);
  assert.deepEqual(pool('weightedmean', 0, 0, 2), [7 / 3, 14 / 3]);
  assert.deepEqual(pool('max', 1, 0, 3), [6, 3]);
  assert.deepEqual(pool('cls', 1, 0, 3), [1, 1]);
  assert.deepEqual(pool('lasttoken', 0, 0, 2), [3, 6]);
});

test('a prompt’s tokens can be left out, and places keep their weight', () => {
  assert.deepEqual(pool('mean', 1, 1, 3), [4, 2.5]);
  assert.deepEqual(pool('weightedmean', 1, 1, 3), [22 / 5, 13 / 5]);
  assert.deepEqual(pool('cls', 1, 1, 3), [2, 2]);
});

const TOKENS = { ids: Int32Array.of(1, 2), nPrompt: 0 };
const NORMALIZE = { type: 'normalize' };

test('modules follow each other, each on what the one before gave', () => {
  const dense = {
    type: 'dense',
    activation: 'ReLU',
    residual: false,
    weight: { data: Float32Array.of(1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 1) },
    shift: { data: Float32Array.of(1, 0, 0.5) },
  };
  const modules = [{ type: 'pooling', modes: ['mean', 'cls'] }, dense];
  assert.deepEqual([...applyModules(modules, HIDDEN, 0, TOKENS)], [3, 0, 3.5]);
  const unit = applyModules([...modules, NORMALIZE], HIDDEN, 0, TOKENS);
  assert.ok(Math.abs(Math.hypot(...unit) - 1) < 1e-12);
});

test('zeros keep their length, and what this page does not know is refused by name', () => {
  const zero = { data: new Float32Array(12), columns: 3, width: 2 };
  const modules = [{ type: 'pooling', modes: ['mean'] }, NORMALIZE];
  assert.deepEqual([...applyModules(modules, zero, 0, TOKENS)], [0, 0]);
  const odd = [{ type: 'pooling', modes: ['toString'] }];
  assert.throws(() => applyModules(odd, HIDDEN, 0, TOKENS), { code: 'Unsupported' });
});

test('a vector is cut and normalised where the request wants it', () => {
  const vector = Float64Array.of(3, 4, 12);
  assert.deepEqual([...cutVector(vector, {})], [3, 4, 12]);
  assert.deepEqual([...cutVector(vector, { dimensions: 2 })], [3, 4]);
  assert.deepEqual(
    [...cutVector(vector, { dimensions: 2, normalize: true })].map((value) => value.toFixed(6)),
    ['0.600000', '0.800000'],
  );
  assert.throws(() => cutVector(vector, { dimensions: 4 }), {
    args: ['options.dimensions', '4', 'at most 3, what the model gives'],
  });
});
