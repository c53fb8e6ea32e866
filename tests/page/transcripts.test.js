import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { nameCache } from '../../browser_runtime/page/families/graphs/kv_cache.js';
import { Stopwatch } from '../../browser_runtime/page/families/graphs/results.js';
import { chooseToken, Decoder } from '../../browser_runtime/page/families/sounds/decoding.js';
import { readSamples } from '../../browser_runtime/page/families/sounds/samples.js';
import { joinTokens, splitWindows } from '../../browser_runtime/page/families/sounds/windows.js';

test('the likeliest token that is not suppressed is chosen', () => {
  assert.equal(chooseToken(Float32Array.of(1, 9, 9, 3), new Set()), 1);
  assert.equal(chooseToken(Float32Array.of(1, 9, 8, 3), new Set([1])), 2);
  assert.throws(() => chooseToken(Float32Array.of(1, NaN), new Set()), /token 1 is NaN/);
  assert.throws(() => chooseToken(Float32Array.of(1), new Set([0])), { code: 'BadOutput' });
});

test('with time stamps the token is the one that transformers chooses', () => {
  const stored = JSON.parse(readFileSync(new URL('./fixtures/whisper_stamps.json', import.meta.url), 'utf8'));
  for (const { logits, barred, tokens, rules, token } of stored.steps) {
    const found = chooseToken(Float32Array.from(logits), new Set(barred), { tokens, stamps: rules });
    assert.equal(found, token, JSON.stringify({ tokens, barred, rules }));
  }
});

/** Counts the tensors that are alive: a leak in the decoding loop shows as a number above zero. */
class CountedTensor {
  static alive = 0;
  /** @param {string} type @param {any} data @param {number[]} dims */
  constructor(type, data, dims) {
    Object.assign(this, { type, data, dims });
    CountedTensor.alive += 1;
  }
  dispose() {
    CountedTensor.alive -= 1;
  }
}

/** A merged decoder of one layer that says `script` token by token, and notes what it was fed. @param {number[]} script */
function makeDecoder(script) {
  /** @type {{ids: number[], cached: boolean, past: number}[]} */
  const fed = [];
  const parts = ['decoder.key', 'decoder.value', 'encoder.key', 'encoder.value'];
  const inputs = parts.map((part) => `past_key_values.0.${part}`);
  const outputs = nameCache(['input_ids', 'use_cache_branch', ...inputs]);
  const shape = ['batch', 2, 'past', 4];
  const run = async (/** @type {any} */ feeds) => {
    fed.push({
      ids: [...feeds.input_ids.data].map(Number),
      cached: feeds.use_cache_branch.data[0] === 1,
      past: feeds['past_key_values.0.decoder.key'].dims[2],
    });
    const logits = new Float32Array(feeds.input_ids.data.length * 10);
    logits[logits.length - 10 + (script[fed.length - 1] ?? 0)] = 1;
    const cache = outputs.map((name) => [name, new CountedTensor('float32', null, [1, 2, fed.length, 4])]);
    return {
      logits: { data: logits, dims: [1, feeds.input_ids.data.length, 10] },
      ...Object.fromEntries(cache),
    };
  };
  const inputMetadata = [
    { name: 'input_ids', isTensor: true, type: 'int64', shape: ['batch', 'tokens'] },
    { name: 'use_cache_branch', isTensor: true, type: 'bool', shape: [1] },
    ...inputs.map((name) => ({ name, isTensor: true, type: 'float32', shape })),
  ];
  const graph = /** @type {any} */ ({ inputMetadata, run, lastRun: { computeMs: 2, readbackMs: 1 } });
  return { fed, decoder: new Decoder(graph, /** @type {any} */ ({ Tensor: CountedTensor })) };
}

const RULES = { ends: [9], never: new Set([7]), notFirst: new Set([7, 9]) };
const HEARD = /** @type {any} */ ({});

test('decoding feeds the prompt, then one token a step with what is cached, until the end token', async () => {
  const { fed, decoder } = makeDecoder([3, 4, 9, 5]);
  const watch = new Stopwatch();
  const task = { heard: HEARD, prompt: [1, 2], rules: RULES, maxTokens: 8 };
  assert.deepEqual(await decoder.generate(task, watch, () => false), [3, 4]);
  assert.deepEqual(fed, [
    { ids: [1, 2], cached: false, past: 0 },
    { ids: [3], cached: true, past: 1 },
    { ids: [4], cached: true, past: 2 },
  ]);
  assert.equal(watch.timings.compute_ms, 6);
});

test('decoding frees every cached tensor, also when it is cancelled', async () => {
  const task = { heard: HEARD, prompt: [1], rules: RULES, maxTokens: 3 };
  const inputs = 2;
  for (const stopAfter of [Infinity, 2]) {
    CountedTensor.alive = 0;
    const { fed, decoder } = makeDecoder([3, 4, 5, 6]);
    const ended = decoder.generate(task, new Stopwatch(), () => fed.length >= stopAfter).catch(() => null);
    await ended;
    // What is left are the two inputs of each step that lie on the CPU and need no freeing.
    assert.equal(CountedTensor.alive, fed.length * inputs);
  }
});

test('the likeliest of a few tokens is picked, for the language', async () => {
  const { decoder } = makeDecoder([5]);
  assert.equal(await decoder.pick(HEARD, [1], [4, 5, 6], new Stopwatch()), 5);
});

test('long sounds are cut into windows that overlap by a sixth', () => {
  const samples = Float32Array.from({ length: 28 }, (_, at) => at);
  const windows = splitWindows(samples, 12);
  assert.deepEqual(
    windows.map((window) => [window[0], window.length]),
    [
      [0, 12],
      [10, 12],
      [20, 8],
    ],
  );
  assert.equal(splitWindows(samples, 28).length, 1);
  assert.equal(splitWindows(samples, 100).length, 1);
});

test('windows are joined where their tokens agree', () => {
  assert.deepEqual(
    joinTokens([
      [1, 2, 3, 4, 5],
      [4, 5, 6, 7],
    ]),
    [1, 2, 3, 4, 5, 6, 7],
  );
  assert.deepEqual(joinTokens([[], [3, 4]]), [3, 4]);
  assert.deepEqual(joinTokens([]), []);
});

// Made by transformers itself: fixtures/make_whisper_values.py.
/** @type {{transformers: string, joins: {windows: number[][], joined: number[]}[]}} */
const { transformers, joins } = JSON.parse(
  readFileSync(new URL('fixtures/whisper_values.json', import.meta.url), 'utf8'),
);

test(`windows are joined as transformers ${transformers} joins them`, () => {
  for (const { windows, joined } of joins) assert.deepEqual(joinTokens(windows), joined);
});

test('what is no sound is refused by name', () => {
  const silence = { dtype: 'float32', shape: [2], data: new Float32Array(2) };
  assert.equal(readSamples(silence, 'sounds[0]').length, 2);
  const broken = { ...silence, data: Float32Array.of(0, NaN) };
  assert.throws(() => readSamples(broken, 'sounds[1]'), {
    args: ['sounds[1]', 'NaN at sample 1', 'of finite numbers'],
  });
  const stereo = { dtype: 'float32', shape: [2, 1], data: new Float32Array(2) };
  assert.throws(() => readSamples(stereo, 'sounds[0]'), { code: 'BadInput' });
  assert.throws(() => readSamples({ dtype: 'float32', shape: [0], data: new Float32Array() }, 'sounds[0]'), {
    code: 'BadInput',
  });
});
