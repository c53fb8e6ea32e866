import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedResults } from '../../browser_runtime/page/engines/shared_results.js';
import { NO_RECALL, nameEncoder, Recall } from '../../browser_runtime/page/families/graphs/recall.js';
import { seededRandom } from './random.js';

const ENCODER = { key: 'wasm|tower', model: 'clip', graph: 'vision_model' };
const ORIGIN = { run: 'chrome-1/0/1', model: 'clip', graph: 'vision_model' };

/** Doubles each input; counts what it computed. */
function doubler() {
  const computed = /** @type {number[]} */ ([]);
  const encode = (/** @type {Recall} */ recall, /** @type {number[]} */ numbers, encoder = ENCODER) =>
    recall.encode(
      encoder,
      numbers.map((number) => [Float32Array.of(number)]),
      async (missing) =>
        missing.map((at) => {
          const number = /** @type {number} */ (numbers[at]);
          computed.push(number);
          return { value: 2 * number, sizeBytes: 4 };
        }),
    );
  return { computed, encode };
}

test('what was computed before is taken from there, and told', async () => {
  const results = new SharedResults(100);
  const { computed, encode } = doubler();
  const before = new Recall(results, 'chrome-1/0/1');
  const first = await encode(before, [1, 2, 1]);
  assert.deepEqual(
    first.map(({ value }) => value),
    [2, 4, 2],
  );
  // The item that comes twice was computed once, which the call's time is of.
  assert.deepEqual(before.notes, [
    { graph: 'vision_model', model: 'clip', run: 'chrome-1/0/1', n: 1, size_bytes: 4 },
  ]);
  const recall = new Recall(results, 'chrome-1/0/2');
  const second = await encode(recall, [2, 3, 1]);
  assert.deepEqual(
    second.map(({ value }) => value),
    [4, 6, 2],
  );
  assert.deepEqual(computed, [1, 2, 3]);
  assert.deepEqual(recall.notes, [
    { graph: 'vision_model', model: 'clip', run: 'chrome-1/0/1', n: 2, size_bytes: 8 },
  ]);
});

test('another graph, backend, shape or number is another result', async () => {
  const results = new SharedResults(100);
  const { computed, encode } = doubler();
  for (const key of ['wasm|tower', 'webgpu|tower', 'wasm|other']) {
    for (const { release } of await encode(new Recall(results, 'r'), [1], { ...ENCODER, key })) release();
  }
  const shaped = [[Float32Array.of(1, 2)], [Float32Array.of(1), Float32Array.of(2)]];
  const made = async (/** @type {number[]} */ missing) => missing.map(() => ({ value: 0, sizeBytes: 4 }));
  await new Recall(results, 'r').encode(ENCODER, shaped, made);
  assert.deepEqual([computed, results.counts.n_results], [[1, 1, 1], 5]);
});

test('what is computed in another layout is another result', () => {
  const name = (/** @type {object} */ options) =>
    nameEncoder(
      /** @type {any} */ ({ model: { name: 'clip' }, backend: 'webgpu', options }),
      /** @type {any} */ ({ content: 'tower' }),
      'vision_model',
    ).key;
  assert.deepEqual([name({}), name({ layout: 'NHWC' })], ['webgpu|tower', 'webgpu|tower|NHWC']);
});

test('a warm-up, a check and a model that shares nothing compute', async () => {
  const results = new SharedResults(100);
  const { computed, encode } = doubler();
  await encode(new Recall(results, 'r'), [1]);
  await encode(NO_RECALL, [1]);
  await encode(new Recall(results, 'r'), [1], { ...ENCODER, key: /** @type {any} */ (null) });
  assert.deepEqual([computed, results.counts.n_results], [[1, 1, 1], 1]);
});

test('uses that were taken before a failure are given back', async () => {
  const results = new SharedResults(100);
  const { encode } = doubler();
  for (const { release } of await encode(new Recall(results, 'r'), [1])) release();
  const fail = () => Promise.reject(new Error('no memory'));
  const inputs = [[Float32Array.of(1)], [Float32Array.of(2)]];
  await assert.rejects(new Recall(results, 'r').encode(ENCODER, inputs, fail), /no memory/);
  assert.equal(results.counts.n_references, 0);
});

test('the least recently used goes beyond the budget; one in use is freed after its use', () => {
  const results = new SharedResults(10);
  const freed = /** @type {string[]} */ ([]);
  const keep = (/** @type {string} */ key, sizeBytes = 5) =>
    results.keep(key, { value: key, sizeBytes, free: () => freed.push(key) }, ORIGIN);
  keep('a').release();
  const used = keep('b');
  results.take('a')?.release();
  keep('c').release();
  assert.deepEqual([freed, results.take('b'), results.counts.dropped], [[], null, 1]);
  used.release();
  assert.deepEqual(freed, ['b']);
  const large = keep('large', 11);
  assert.equal(results.counts.size_bytes, 10);
  large.release();
  assert.equal(results.forget(), 10);
  assert.deepEqual(freed, ['b', 'large', 'a', 'c']);
});

test('whatever is kept, taken, released, lost and shed, each result is freed once and never in use', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed);
    const results = new SharedResults(20);
    let [made, freed] = [0, 0];
    /** @type {{use: import('../../browser_runtime/page/engines/shared_results.js').Use<{isFreed: boolean}>}[]} */
    const held = [];
    const make = () => {
      made += 1;
      const value = { isFreed: false };
      const free = () => {
        assert.equal(value.isFreed, false);
        value.isFreed = true;
        freed += 1;
      };
      return { value, sizeBytes: 1 + Math.floor(random() * 25), free };
    };
    for (let step = 0; step < 80; step++) {
      const key = `${random() < 0.5 ? 'webgpu' : 'wasm'}|${Math.floor(random() * 5)}`;
      const what = random();
      const use = what < 0.3 ? results.keep(key, make(), ORIGIN) : what < 0.5 ? results.take(key) : null;
      if (use) held.push({ use });
      else if (what < 0.6) held.push(...held.slice(0, 1).map(({ use: known }) => ({ use: known.again() })));
      else if (what < 0.93) held.splice(Math.floor(random() * held.length), 1)[0]?.use.release();
      else results.forget(what < 0.97 ? 'webgpu|' : '');
      assert.ok(held.every(({ use: known }) => !known.value.isFreed));
      assert.ok(results.counts.size_bytes <= 20);
    }
    for (const { use } of held) use.release();
    assert.equal(results.counts.n_references, 0);
    results.forget();
    assert.equal(made, freed);
  }
});
