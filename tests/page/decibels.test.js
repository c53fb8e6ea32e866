import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DecibelExtractor, fillWindow } from '../../browser_runtime/page/families/sounds/decibels.js';
import { logMel } from '../../browser_runtime/page/kernels/twins/log_mel.js';

// By address, so that the type checker does not read the packages' own sources.
const MODULES = new URL('../../browser_runtime/page/node_modules/', import.meta.url).href;
const ort = await import(`${MODULES}onnxruntime-web/dist/ort.node.min.mjs`);
Reflect.set(globalThis, Symbol.for('onnxruntime'), ort);
const { ClapFeatureExtractor } = await import(`${MODULES}@huggingface/transformers/dist/transformers.web.js`);
ort.env.wasm.wasmPaths = `${MODULES}onnxruntime-web/dist/`;
ort.env.wasm.numThreads = 1;

const plan = { sampling_rate: 10, feature_size: 1, nb_max_samples: 8, nb_max_frames: 1 };

test('a short sound is repeated as the model was trained', () => {
  const sound = Float32Array.from([1, 2, 3]);
  const fill = (/** @type {any} */ padding) => [...fillWindow(sound, { ...plan, padding })];
  assert.deepEqual(fill('repeatpad'), [1, 2, 3, 1, 2, 3, 0, 0]);
  assert.deepEqual(fill('repeat'), [1, 2, 3, 1, 2, 3, 1, 2]);
  assert.deepEqual(fill('pad'), [1, 2, 3, 0, 0, 0, 0, 0]);
  const whole = Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(fillWindow(whole, { ...plan, padding: 'repeatpad' }), whole);
});

// Made by transformers itself: tests/data/make_digits_clap.py.
/** @type {{transformers: string, stride: number, features: any[]}} */
const stored = JSON.parse(readFileSync(new URL('../unit/data/digits_clap.json', import.meta.url), 'utf8'));
const rising = Float32Array.from({ length: 30_000 }, (_, at) => 0.5 * Math.sin(1e-5 * at * at));

for (const { preprocessor, shape, values } of stored.features) {
  test(`features are those of transformers ${stored.transformers}: ${JSON.stringify(preprocessor)}`, async () => {
    const told = {
      sampling_rate: 48_000,
      fft_window_size: 1024,
      hop_length: 480,
      feature_size: 64,
      frequency_min: 0,
      frequency_max: 14_000,
      padding: 'repeatpad',
      ...preprocessor,
      nb_max_samples: 48_000 * preprocessor.max_length_s,
      nb_max_frames: shape[1],
    };
    told.nb_frequency_bins = told.fft_window_size / 2 + 1;
    const extractor = new DecibelExtractor(/** @type {any} */ (new ClapFeatureExtractor(told)), told);
    const features = await extractor.compute(rising);
    assert.equal(features.length, shape[1] * shape[2]);
    const sampled = features.filter((_, at) => at % stored.stride === 0);
    const errors = values.map((/** @type {number} */ value, /** @type {number} */ at) =>
      Math.abs(value - (sampled[at] ?? Number.NaN)),
    );
    assert.ok(Math.max(...errors) < 2e-2, `off by ${Math.max(...errors)} dB`);
    // The shader's twin, on the first tenth of a second: frames do not know of each other.
    const frames = 10;
    const plan = { ...extractor.shaderPlan, frames };
    const { values: computed } = logMel(fillWindow(rising, told), plan, 64);
    const off = computed.map((value, at) => Math.abs(value - (features[at] ?? Number.NaN)));
    assert.ok(off.every((each) => each < 2e-2));
  });
}
