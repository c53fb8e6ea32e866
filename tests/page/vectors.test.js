import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cosine,
  normalize,
  readVector,
  readVectors,
} from '../../browser_runtime/page/families/towers/vectors.js';

const graph = /** @type {any} */ ({ model: 'clip', outputNames: ['image_embeds'] });
const tensor = (/** @type {number[]} */ data, /** @type {number[]} */ dims) =>
  /** @type {any} */ ({ data: Float32Array.from(data), dims, type: 'float32' });

test('a vector an item, the preferred output first', () => {
  const outputs = { pooler_output: tensor([9, 9], [2, 1]), image_embeds: tensor([1, 2, 3, 4], [2, 2]) };
  const vectors = readVectors(graph, outputs, ['image_embeds', 'pooler_output'], 2);
  assert.deepEqual([...readVector(vectors, 1)], [3, 4]);
});

test('outputs that are none are the model’s fault', () => {
  const names = ['text_embeds', 'pooler_output'];
  assert.throws(() => readVectors(graph, {}, names, 1), /none of text_embeds, pooler_output/);
  const whole = { text_embeds: tensor([1, 2], [1, 1, 2]) };
  assert.throws(() => readVectors(graph, whole, names, 1), /\[1,1,2\], not a vector an item/);
});

test('a vector that is no number is no answer', () => {
  assert.throws(
    () => readVector({ data: Float32Array.from([1, Number.NaN]), width: 2 }, 0),
    /embedding value/,
  );
});

test('cosines and lengths, of zeros too', () => {
  const [one, other] = [Float32Array.from([3, 4]), Float32Array.from([4, -3])];
  assert.equal(cosine(one, other), 0);
  assert.equal(cosine(one, one), 1);
  assert.equal(cosine(one, new Float32Array(2)), 0);
  assert.deepEqual([...normalize(one)], [...Float32Array.from([0.6, 0.8])]);
  assert.deepEqual([...normalize(new Float32Array(2))], [0, 0]);
});

test('a vector of zeros is no answer', () => {
  const vectors = { data: Float32Array.from([0, 0, 1, 0]), width: 2 };
  assert.throws(() => readVector(vectors, 0), /all zeros/);
  assert.deepEqual([...readVector(vectors, 1)], [1, 0]);
});
