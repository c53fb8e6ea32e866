import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FrontEnds,
  Hearing,
  LIBRARY,
  openFrontEnds,
  SHADER,
} from '../../browser_runtime/page/families/sounds/front_ends.js';

const PLAN = {
  length: 480_000,
  points: 400,
  hop: 160,
  frames: 3000,
  filters: [[1, 2]],
  window: [],
  decibels: false,
};
const shader = /** @type {any} */ ({ plan: PLAN, release() {} });

/** @param {[number, number]} ours @param {[number, number]} theirs milliseconds of a second, of a whole window */
const timed = (ours, theirs) => ({
  plan: '',
  measured: [
    { kernels: SHADER, short_ms: ours[0], long_ms: ours[1] },
    { kernels: LIBRARY, short_ms: theirs[0], long_ms: theirs[1] },
  ],
  measured_before: true,
});

test('each length of sound takes the front end that is expected quicker', () => {
  // A start that costs 5 ms, then a tenth of the library's time: even at 1.22 s.
  const frontEnds = new FrontEnds(shader, '', timed([6, 35], [4, 294]), 16_000);
  assert.deepEqual(
    [1, 16_000, 19_000, 20_000, 480_000].map((count) => frontEnds.prefersShader(count)),
    [false, false, false, true, true],
  );
  assert.equal(new FrontEnds(shader, '', timed([9, 90], [4, 40]), 16_000).prefersShader(480_000), false);
  assert.equal(new FrontEnds(null, '', timed([1, 1], [4, 40]), 16_000).prefersShader(480_000), false);
});

test('a request may ask for the shader, do without, or leave it open', () => {
  const slow = new FrontEnds(shader, '', timed([9, 90], [4, 40]), 16_000);
  assert.equal(new Hearing(slow, true).takeShader(100), shader);
  assert.equal(new Hearing(slow, null).takeShader(100), null);
  const quick = new FrontEnds(shader, '', timed([1, 9], [4, 40]), 16_000);
  assert.equal(new Hearing(quick, false).takeShader(100), null);
  assert.equal(new Hearing(quick, undefined).takeShader(100), shader);
});

test('a call tells whether the shader ran, and why it did not', () => {
  const frontEnds = new FrontEnds(shader);
  const ran = new Hearing(frontEnds, true);
  ran.note();
  assert.deepEqual(ran.report(), { acceleration: ['compute_shaders'], not_accelerated: {} });
  const recalled = new Hearing(frontEnds, true).report();
  assert.match(recalled.not_accelerated.compute_shaders ?? '', /had heard all of it before/);
  const without = new Hearing(new FrontEnds(null, 'its encoder takes float16'), true).report();
  assert.equal(without.not_accelerated.compute_shaders, 'its encoder takes float16');
  // The worker knows by itself that there is none on the CPU.
  assert.deepEqual(new Hearing(new FrontEnds(null), true).report().not_accelerated, {});
  assert.deepEqual(new Hearing(frontEnds, null).report().not_accelerated, {});
});

const library = {
  extract: async () => new Float32Array(),
  fill: (/** @type {Float32Array} */ samples) => samples,
  rate: 16_000,
};

test('an encoder elsewhere, of other numbers, or with too large a transform has no shader', async () => {
  const open = (/** @type {any} */ encoder, plan = PLAN) =>
    openFrontEnds(/** @type {any} */ ({}), encoder, plan, library);
  const input = { name: 'input_features', isTensor: true };
  const on = (/** @type {string} */ backend, type = 'float32') => ({
    backend,
    inputMetadata: [{ ...input, type }],
  });
  assert.deepEqual([(await open(on('wasm'))).shader, (await open(on('wasm'))).obstacle], [null, '']);
  assert.match((await open(on('webgpu', 'float16'))).obstacle, /takes float16/);
  assert.match((await open(on('webgpu'), { ...PLAN, points: 4096 })).obstacle, /4096 points/);
});

test('results of another transform, window, filterbank or scale have another key', () => {
  const key = (/** @type {object} */ change) =>
    JSON.stringify(
      new FrontEnds(/** @type {any} */ ({ plan: { ...PLAN, ...change } })).signature.map((part) => [...part]),
    );
  const keys = [
    {},
    { points: 512 },
    { hop: 128 },
    { frames: 300 },
    { length: 48_000 },
    { filters: [[1, 3]] },
    { window: [1] },
    { decibels: true },
  ];
  assert.equal(new Set(keys.map(key)).size, keys.length);
});
