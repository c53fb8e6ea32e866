import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rankLabels, scoreLogits } from '../../browser_runtime/page/families/images/scores.js';

test('scores are made by the function that was chosen', () => {
  const logits = Float32Array.of(0.875, -0.25, 2);
  const [first = 0] = scoreLogits(logits.subarray(0, 1), 'default');
  assert.ok(Math.abs(first - 0.70578) < 1e-5, 'one label is a sigmoid');
  assert.deepEqual(scoreLogits(logits, 'none'), [0.875, -0.25, 2]);
  assert.deepEqual(scoreLogits(logits, 'sigmoid').map(round), [0.7058, 0.4378, 0.8808]);
  assert.deepEqual(scoreLogits(logits, 'default').map(round), scoreLogits(logits, 'softmax').map(round));
  assert.ok(Math.abs(scoreLogits(logits, 'softmax').reduce((total, score) => total + score, 0) - 1) < 1e-12);
  assert.deepEqual(scoreLogits(Float32Array.of(-1000, 1000), 'sigmoid'), [0, 1]);
});

test('labels without a name are called as transformers calls them', () => {
  assert.deepEqual(rankLabels([0.1, 0.7, 0.7], 2, { 1: 'cat' }), [
    { label: 'cat', score: 0.7 },
    { label: 'LABEL_2', score: 0.7 },
  ]);
});

/** @param {number} score */
function round(score) {
  return Math.round(score * 1e4) / 1e4;
}
