import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { factor, findObstacle } from '../../browser_runtime/page/engines/log_mel.js';
import { extractLogMel, planLogMel } from '../../browser_runtime/page/families/sounds/log_mel.js';
import { logMel } from '../../browser_runtime/page/kernels/twins/log_mel.js';

// By address, so that the type checker does not read the packages' own sources.
const MODULES = new URL('../../browser_runtime/page/node_modules/', import.meta.url).href;
const ort = await import(`${MODULES}onnxruntime-web/dist/ort.node.min.mjs`);
// transformers.js multiplies by the mel filters in onnxruntime: here its WebAssembly, as in the page.
Reflect.set(globalThis, Symbol.for('onnxruntime'), ort);
const { WhisperFeatureExtractor } = await import(
  `${MODULES}@huggingface/transformers/dist/transformers.web.js`
);
// Importing transformers.js points onnxruntime at a CDN.
ort.env.wasm.wasmPaths = `${MODULES}onnxruntime-web/dist/`;
ort.env.wasm.numThreads = 1;

// Whisper's, with a window of 3 s instead of 30 to be quick.
const CONFIG = {
  feature_size: 80,
  sampling_rate: 16000,
  n_fft: 400,
  hop_length: 160,
  chunk_length: 3,
  n_samples: 48000,
  nb_max_frames: 300,
};

for (const count of [1, 159, 160, 161, 8000, 16123, 47199, 47200, 47999, 48000]) {
  test(`${count} samples give the features that padding to the whole window gives`, async () => {
    const extractor = /** @type {any} */ (new WhisperFeatureExtractor({ ...CONFIG }));
    const samples = Float32Array.from({ length: count }, (_, at) => Math.sin(at * at * 1e-5) * 0.5);
    const whole = (await extractor(samples)).input_features;
    const features = await extractLogMel(extractor, samples);
    assert.deepEqual(features.dims, [1, 80, 300]);
    // The product with the mel filters is summed in another order for another width: the last bits differ.
    const errors = whole.data.map((/** @type {number} */ value, /** @type {number} */ at) =>
      Math.abs(value - (features.data[at] ?? NaN)),
    );
    assert.ok(Math.max(...errors) < 1e-6, `off by ${Math.max(...errors)}`);
  });
}

// Made by transformers itself: fixtures/make_whisper_values.py.
/** @type {{transformers: string, sound: string, stride: number, features: any[]}} */
const stored = JSON.parse(readFileSync(new URL('fixtures/whisper_values.json', import.meta.url), 'utf8'));
const sound = new Float32Array(new Uint8Array(Buffer.from(stored.sound, 'base64')).buffer);

for (const { preprocessor, told, values } of stored.features) {
  test(`features are those of transformers ${stored.transformers}: ${JSON.stringify(preprocessor)}`, async () => {
    const extractor = /** @type {any} */ (new WhisperFeatureExtractor({ ...told }));
    const { data, dims } = await extractLogMel(extractor, sound);
    assert.deepEqual(dims, [1, told.feature_size, told.nb_max_frames]);
    const sampled = data.filter((_, at) => at % stored.stride === 0);
    const errors = values.map((/** @type {number} */ value, /** @type {number} */ at) =>
      Math.abs(value - (sampled[at] ?? Number.NaN)),
    );
    // As far as transformers' own two ways are allowed to differ, and the five digits that are stored.
    assert.ok(Math.max(...errors) < 5e-5, `off by ${Math.max(...errors)}`);
  });
}

for (const { preprocessor, told, values } of stored.features) {
  test(`the shader's twin gives the features of transformers: ${JSON.stringify(preprocessor)}`, () => {
    const plan = planLogMel(new WhisperFeatureExtractor({ ...told }));
    assert.equal(findObstacle(plan), '');
    const [a, b] = factor(plan.points);
    assert.equal(a * b, plan.points);
    const { values: computed, low, high } = logMel(sound, plan, a + b + 10);
    const sampled = computed.filter((_, at) => at % stored.stride === 0);
    const errors = values.map((/** @type {number} */ value, /** @type {number} */ at) =>
      Math.abs(value - (sampled[at] ?? Number.NaN)),
    );
    assert.ok(Math.max(...errors) < 5e-5, `off by ${Math.max(...errors)}`);
    assert.ok(computed.every((value, at) => (low[at] ?? NaN) <= value && value <= (high[at] ?? NaN)));
  });
}

test('a transform too large for a workgroup is an obstacle', () => {
  const plan = { length: 1, hop: 1, frames: 1, window: [], filters: [[1]], decibels: false };
  assert.match(findObstacle({ ...plan, points: 4096 }), /4096 points/);
  assert.equal(findObstacle({ ...plan, points: 1024 }), '');
});
