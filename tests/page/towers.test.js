import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedResults } from '../../browser_runtime/page/engines/shared_results.js';
import { Recall } from '../../browser_runtime/page/families/graphs/recall.js';
import { FrontEnds } from '../../browser_runtime/page/families/sounds/front_ends.js';
import { SoundTower } from '../../browser_runtime/page/families/towers/sound_tower.js';
import { TextTower } from '../../browser_runtime/page/families/towers/text_tower.js';

class Tensor {
  /** @param {string} type @param {any} data @param {number[]} dims */
  constructor(type, data, dims) {
    Object.assign(this, { type, data, dims });
  }

  /** @param {any} data */
  static fromGpuBuffer(data) {
    return { data };
  }
}

// One file of weights, whoever has it.
const opening = /** @type {any} */ ({
  backend: 'webgpu',
  model: { name: 'twin', limits: { max_batch: 8, max_static_graphs: 1 } },
  options: {},
  realm: { ort: { Tensor } },
});

/** Its vector is the sum of all that it is given. @param {string} input @param {string} output */
function sourceOf(input, output) {
  const run = async (/** @type {any} */ feeds) => {
    const [tensor] = Object.values(feeds);
    const sum = [...tensor.data].reduce((total, value) => total + Number(value), 0);
    return { [output]: { data: Float32Array.of(sum), dims: [1, 1], type: 'float32' } };
  };
  const inputMetadata = [{ name: input, isTensor: true, type: 'int64', shape: [-1, -1] }];
  const graph = { model: 'twin', outputNames: [output], inputMetadata, run, lastRun: {} };
  return /** @type {any} */ ({ content: 'the same file', open: async () => graph });
}

/** @param {{results: import('../../browser_runtime/page/families/contract.js').Result<Float32Array>[]}} answer */
function vectorOf({ results: [result] }) {
  return result?.ok ? [...result.output] : result?.error;
}

test('two models of one text tower that pad otherwise share no result', async () => {
  const source = sourceOf('input_ids', 'text_embeds');
  const results = new SharedResults(1e6);
  const texts = [{ ids: Int32Array.of(5, 6), segments: null, truncated: false, nPrompt: 0 }];
  const vectors = [];
  for (const padId of [1, 0]) {
    const padding = { padId, maxTokens: 4, padsFully: true };
    const tower = new TextTower(opening, source, {}, padding);
    vectors.push(vectorOf(await tower.embed(texts, () => false, new Recall(results, 'run'))));
  }
  assert.deepEqual(vectors, [[13], [11]]);
});

test('two models of one sound tower that fill a window otherwise share no result of the shader', async () => {
  const shader = /** @type {any} */ ({
    plan: { points: 4, hop: 2, frames: 1, length: 8, filters: [], window: [1, 1], decibels: true },
    compute: (/** @type {Float32Array[]} */ [window]) => window,
    release() {},
  });
  const source = sourceOf('input_features', 'audio_embeds');
  const results = new SharedResults(1e6);
  const samples = { dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) };
  const vectors = [];
  for (const padding of ['pad', 'repeatpad']) {
    const plan = { nb_max_frames: 1, feature_size: 1, nb_max_samples: 8, padding };
    const extractor = /** @type {any} */ ({ plan });
    const tower = new SoundTower(opening, source, { input_features: [-1, 1, 1, 1] }, extractor);
    tower.frontEnds = new FrontEnds(shader);
    const items = [{ array: samples, field: 'sounds[0]' }];
    const choices = { compute_shaders: true };
    vectors.push(vectorOf(await tower.embed(items, () => false, new Recall(results, 'run'), choices)));
  }
  assert.deepEqual(vectors, [[3], [12]]);
});
