import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pickBucket, sequenceBuckets, splitBatches } from '../../browser_runtime/page/families/buckets.js';
import {
  choosePool,
  normalizeLength,
  poolFirst,
  poolMean,
} from '../../browser_runtime/page/families/pooling.js';
import { padTexts, readTokens } from '../../browser_runtime/page/families/tokens.js';

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

test('the mean counts a text’s own tokens alone', () => {
  assert.deepEqual([...poolMean(HIDDEN, 0, 2)], [2, 4]);
  assert.deepEqual([...poolMean(HIDDEN, 1, 3)], [3, 2]);
});

test('the first token stands for the text under cls', () => {
  assert.deepEqual([...poolFirst(HIDDEN, 1, 3)], [1, 1]);
  assert.equal(choosePool('cls'), poolFirst);
  assert.throws(() => choosePool('max'), { code: 'Unsupported' });
});

test('a normalised vector has length one, and zeros stay zeros', () => {
  const unit = normalizeLength(Float32Array.of(3, 4));
  assert.ok(Math.abs((unit[0] ?? 0) - 0.6) < 1e-7 && Math.abs((unit[1] ?? 0) - 0.8) < 1e-7);
  assert.deepEqual([...normalizeLength(new Float32Array(2))], [0, 0]);
});
