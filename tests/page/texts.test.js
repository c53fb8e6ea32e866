import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pickBucket, sequenceBuckets, splitBatches } from '../../browser_runtime/page/families/buckets.js';
import {
  choosePool,
  normalizeLength,
  poolFirst,
  poolMean,
} from '../../browser_runtime/page/families/pooling.js';
import { encodeText, padTexts } from '../../browser_runtime/page/families/tokens.js';

// BERT's way: 101 opens, 102 closes, each letter is a token.
/** @param {string} text */
const encode = (text) => [101, ...[...text].map((letter) => letter.charCodeAt(0)), 102];

test('a text that fits keeps every token', () => {
  assert.deepEqual(encodeText(encode, 'ab', 4, 'texts[0]'), { ids: [101, 97, 98, 102], truncated: false });
  assert.deepEqual(encodeText(encode, '', 4, 'texts[0]'), { ids: [101, 102], truncated: false });
});

test('a text that is cut keeps its closing token, as in Python', () => {
  assert.deepEqual(encodeText(encode, 'abcd', 4, 'texts[0]'), { ids: [101, 97, 98, 102], truncated: true });
});

test('special tokens on one side alone, or none, are told apart', () => {
  const ending = (/** @type {string} */ text) => encode(text).slice(1);
  assert.deepEqual(encodeText(ending, 'abcd', 3, 'texts[0]').ids, [97, 98, 102]);
  const opening = (/** @type {string} */ text) => encode(text).slice(0, -1);
  assert.deepEqual(encodeText(opening, 'abcd', 3, 'texts[0]').ids, [101, 97, 98]);
  const bare = (/** @type {string} */ text) => encode(text).slice(1, -1);
  assert.deepEqual(encodeText(bare, 'abcd', 3, 'texts[0]').ids, [97, 98, 99]);
});

test('what is no text is refused by name', () => {
  assert.throws(() => encodeText(encode, 7, 4, 'texts[5]'), {
    code: 'BadInput',
    args: ['texts[5]', 'of type number', 'a text'],
  });
});

test('texts are padded on the right, and rows without a text attend to their first token', () => {
  const texts = [encodeText(encode, 'ab', 9, ''), encodeText(encode, '', 9, '')];
  const { ids, mask } = padTexts(texts, 3, 5, 0);
  assert.deepEqual([...ids].map(Number), [101, 97, 98, 102, 0, 101, 102, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...mask].map(Number), [1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0]);
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
