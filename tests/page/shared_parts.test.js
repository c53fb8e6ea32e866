import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedParts } from '../../browser_runtime/page/engines/shared_parts.js';
import { seededRandom } from './random.js';

/** Parts that are counted as they are opened and freed. */
function countedParts() {
  const state = { opened: 0, freed: 0 };
  const parts = new SharedParts(
    async (/** @type {{key: string, isFreed: boolean}} */ part) => {
      assert.equal(part.isFreed, false);
      part.isFreed = true;
      state.freed += 1;
    },
    () => 10,
  );
  const open = (/** @type {string} */ key) => async () => {
    state.opened += 1;
    await Promise.resolve();
    return { key, isFreed: false };
  };
  return { state, parts, open };
}

test('models that share a part open it once, and it goes with the last of them', async () => {
  const { state, parts, open } = countedParts();
  const [first, second] = await Promise.all([
    parts.take('wasm|a', open('wasm|a')),
    parts.take('wasm|a', open('wasm|a')),
  ]);
  assert.equal(first.part, second.part);
  assert.deepEqual([first.isShared, second.isShared, state.opened], [false, true, 1]);
  assert.deepEqual(parts.counts, { n_parts: 1, n_references: 2, size_bytes: 10, saved_bytes: 10 });
  await first.release();
  await first.release();
  assert.equal(state.freed, 0);
  await second.release();
  assert.deepEqual([state.freed, parts.counts.n_parts], [1, 0]);
});

test('a part that could not be opened is opened anew, and what waited for it fails alike', async () => {
  const { parts, open } = countedParts();
  const refuse = () => Promise.reject(new Error('no memory'));
  const takes = [parts.take('wasm|a', refuse), parts.take('wasm|a', open('wasm|a'))];
  for (const take of takes) await assert.rejects(take, /no memory/);
  assert.equal(parts.counts.n_parts, 0);
  assert.equal((await parts.take('wasm|a', open('wasm|a'))).isShared, false);
});

test('a lost device gives out none of its parts again', async () => {
  const { state, parts, open } = countedParts();
  const lost = await parts.take('webgpu|a', open('webgpu|a'));
  await parts.take('wasm|a', open('wasm|a'));
  parts.forget('webgpu|');
  const renewed = await parts.take('webgpu|a', open('webgpu|a'));
  assert.notEqual(renewed.part, lost.part);
  await lost.release();
  assert.deepEqual([state.freed, parts.counts.n_parts], [1, 2]);
});

test('whatever is taken, released and lost in whatever order, no part is freed in use or left behind', async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seededRandom(seed);
    const { state, parts, open } = countedParts();
    /** @type {import('../../browser_runtime/page/engines/shared_parts.js').Lease<{key: string, isFreed: boolean}>[]} */
    const held = [];
    for (let step = 0; step < 60; step++) {
      const key = `${random() < 0.5 ? 'webgpu' : 'wasm'}|${Math.floor(random() * 3)}`;
      const what = random();
      if (what < 0.5) held.push(await parts.take(key, open(key)));
      else if (what < 0.95) await held.splice(Math.floor(random() * held.length), 1)[0]?.release();
      else parts.forget('webgpu|');
      assert.ok(held.every(({ part }) => !part.isFreed));
    }
    for (const lease of held) await lease.release();
    assert.equal(state.opened, state.freed);
    assert.deepEqual(parts.counts, { n_parts: 0, n_references: 0, size_bytes: 0, saved_bytes: 0 });
  }
});
