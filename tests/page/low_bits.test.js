import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { createModel } from '../../browser_runtime/page/engines/low_bits/model.js';
import { likeliest } from '../../browser_runtime/page/engines/low_bits/sampler.js';
import { openWasm } from './wasm_kernels.js';

/** @typedef {import('../../browser_runtime/page/engines/low_bits/model.js').LowBitsModel} LowBitsModel */
/** @typedef {import('../../browser_runtime/page/engines/low_bits/model.js').StepEvent} StepEvent */

// Made by tests/data/make_low_bits_model.py, in NumPy, from the format's description.
const fixture = JSON.parse(readFileSync(new URL('./fixtures/low_bits.json', import.meta.url), 'utf8'));
const shard = new Uint8Array(Buffer.from(fixture.shard, 'base64'));
/** The shard in pieces that end anywhere. */
function* pieces() {
  for (let at = 0; at < shard.length; at += 1001) yield shard.subarray(at, at + 1001);
}

/** @param {Partial<import('../../browser_runtime/page/engines/low_bits/model.js').ModelOptions>} [options] */
const open = async (options = {}) =>
  createModel(fixture.manifest, () => pieces(), await openWasm('relaxed'), {
    model: 'tiny',
    kv: [16, 16],
    context: 256,
    ...options,
  });

/** Steps until nothing runs; every event. @param {LowBitsModel} model */
async function finish(model) {
  /** @type {StepEvent[]} */
  const events = [];
  while (model.busy) events.push(...(await model.step()));
  return events;
}

/** @param {LowBitsModel} model @param {number[]} tokens @param {number} [maxNewTokens] */
async function answer(model, tokens, maxNewTokens = 24) {
  const generation = model.open({ tokens, maxNewTokens });
  await finish(model);
  return generation;
}

for (const [name, wanted] of Object.entries(fixture.wanted)) {
  const [keys, values] = /** @type {[number, number]} */ (name.slice(1).split('v').map(Number));

  test(`a cache of ${name}: the logits and the tokens that NumPy gives`, async () => {
    const model = await open({ kv: [keys, values] });
    const generation = model.open({ tokens: fixture.prompt, maxNewTokens: wanted.tokens.length });
    /** @type {Float32Array | undefined} */
    let first;
    const take = generation.take.bind(generation);
    generation.take = (logits) => {
      first ??= logits.slice();
      return take(logits);
    };
    await finish(model);
    const error = Math.max(...(first ?? []).map((logit, index) => Math.abs(logit - wanted.logits[index])));
    // Some 1e-4, but for an activation that rounds the other way to int8 somewhere on the way.
    assert.ok(error < 0.1, `logits are off by ${error}`);
    assert.deepEqual(generation.generated, wanted.tokens);
    assert.equal(generation.finish, 'length');
  });
}

test('prompts that join and leave at any step answer as each does alone', async () => {
  const model = await open({ kv: [3, 2], slots: 2, chunk: 16 });
  const prompts = [fixture.prompt, fixture.prompt.slice(40), fixture.prompt.slice(0, 90), [5, 6, 7]];
  const alone = [];
  for (const prompt of prompts) alone.push((await answer(await open({ kv: [3, 2] }), prompt)).generated);
  const generations = [];
  for (const prompt of prompts) {
    generations.push(model.open({ tokens: prompt, maxNewTokens: 24 }));
    for (let step = 0; step < 3; step++) await model.step();
  }
  await finish(model);
  assert.deepEqual(
    generations.map((generation) => generation.generated),
    alone,
  );
});

test('a prompt that begins as an earlier one goes on from its cache, with the same answer', async () => {
  const model = await open();
  await answer(model, fixture.prompt.slice(0, 100), 4);
  const tokens = [...fixture.prompt.slice(0, 90), 1, 2, 3];
  const again = await answer(model, tokens);
  assert.equal(again.reused, 90);
  assert.deepEqual(again.generated, (await answer(await open(), tokens)).generated);
});

test('a prefix whose cache is packed is kept on the second prompt and taken over from the third on', async () => {
  const model = await open({ kv: [3, 2], slots: 1 });
  const ask = (/** @type {number} */ last) => [
    ...fixture.prompt.slice(0, 100),
    ...fixture.prompt.slice(50, 120),
    last,
  ];
  const lengths = [];
  for (const last of [1, 2, 3]) {
    const tokens = [...ask(last).slice(0, 100), last, ...fixture.prompt.slice(10, 100)];
    const generation = await answer(model, tokens, 6);
    lengths.push(generation.reused);
    assert.deepEqual(generation.generated, (await answer(await open({ kv: [3, 2] }), tokens, 6)).generated);
  }
  assert.deepEqual(lengths, [0, 0, 100]);
});

test('a cancelled prompt ends at the next step, whether it waits, is read or runs; others go on', async () => {
  const model = await open({ slots: 2 });
  const stays = model.open({ tokens: [1, 2, 3], maxNewTokens: 8 });
  const [reading, waiting] = [0, 1].map(() => model.open({ tokens: fixture.prompt, maxNewTokens: 50 }));
  await model.step();
  reading?.cancel();
  waiting?.cancel();
  const events = await model.step();
  const ended = events.filter(({ finish: why }) => why === 'cancelled').map(({ generation }) => generation);
  assert.deepEqual(new Set(ended), new Set([reading, waiting]));
  await finish(model);
  assert.deepEqual(stays.generated, (await answer(await open(), [1, 2, 3], 8)).generated);
});

test('memory stays as it is after the first prompt, whatever is asked or stopped', async () => {
  const model = await open({ kv: [2, 2] });
  const before = model.facts.memory_bytes;
  for (let run = 0; run < 20; run++) {
    const generation = model.open({ tokens: fixture.prompt.slice(run), maxNewTokens: 50 });
    for (let step = 0; step < run; step++) await model.step();
    generation.cancel();
    await finish(model);
  }
  assert.equal(model.facts.memory_bytes, before);
});

test('a stop token ends, and the context does', async () => {
  const model = await open({ context: 192 });
  const [first] = fixture.wanted.k16v16.tokens;
  const stopped = model.open({ tokens: fixture.prompt, maxNewTokens: 9, stopTokens: [first] });
  const filled = model.open({ tokens: fixture.prompt, maxNewTokens: 1000 });
  await finish(model);
  assert.deepEqual([stopped.finish, stopped.generated], ['stop', [first]]);
  assert.deepEqual([filled.finish, filled.generated.length], ['length', 43]);
});

test('what a prompt may be is told by name', async () => {
  const model = await open();
  assert.throws(() => model.open({ tokens: [], maxNewTokens: 1 }), /BadInput: inputs/);
  assert.throws(() => model.open({ tokens: [97], maxNewTokens: 1 }), /BadInput: a token; 97; 0 to 96/);
  const long = Array.from({ length: 256 }, () => 1);
  assert.throws(() => model.open({ tokens: long, maxNewTokens: 1 }), /256 tokens; at most 255 tokens/);
});

test('a manifest that is not understood is refused by name, and a shard that is too short', async () => {
  const changed = (/** @type {(manifest: any) => void} */ change) => {
    const manifest = structuredClone(fixture.manifest);
    change(manifest);
    return async () =>
      createModel(manifest, () => pieces(), await openWasm('simd'), { model: 'tiny', kv: [16, 16] });
  };
  await assert.rejects(
    changed((m) => (m.version = 2)),
    /ModelFault: tiny; low_bits.json: version is 2, not 1/,
  );
  await assert.rejects(
    changed((m) => (m.architecture.sliding_window = 9)),
    /sliding_window/,
  );
  await assert.rejects(
    changed((m) => (m.architecture.activation = 'gelu')),
    /activation is "gelu"/,
  );
  await assert.rejects(
    changed((m) => delete m.tensors['layers.1.up']),
    /tensor layers.1.up is missing/,
  );
  await assert.rejects(
    changed((m) => (m.tensors['layers.1.up'].bits = 5)),
    /bits of layers.1.up is 5/,
  );
  await assert.rejects(
    changed((m) => (m.tensors.extra = m.tensors.norm)),
    /a tensor is "extra"/,
  );
  await assert.rejects(
    changed((m) => (m.shards[0].size_bytes += 64)),
    /has \d+ bytes, not \d+/,
  );
});

test('greedy is the first of the largest', () => {
  assert.equal(likeliest(Float32Array.from([1, 3, 2, 3])), 1);
});
