import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layoutCache, parseCacheBits, usedBytes } from '../../browser_runtime/page/engines/low_bits/cache.js';
import { EQUAL_LOGITS, ODD_LOGIT } from '../../browser_runtime/page/engines/low_bits/generation.js';
import { findFlaw, likeliest, Sampler } from '../../browser_runtime/page/engines/low_bits/sampler.js';
import { openChoosing } from './choosing_backend.js';
import { answer, createModel, finish, fixture, open, pieces, shard } from './tiny_model.js';
import { openWasm } from './wasm_kernels.js';

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

test('a text is scored in pieces of any length: the logits that its tokens were chosen by', async () => {
  const model = await open({ kv: [3, 2] });
  const generation = model.open({ tokens: fixture.prompt, maxNewTokens: 24 });
  /** @type {Float32Array[]} */
  const wanted = [];
  const take = generation.take.bind(generation);
  generation.take = (logits) => {
    wanted.push(logits.slice());
    return take(logits);
  };
  await assert.rejects(model.score([1], 0), /BadRequest: a text is scored while prompts run/);
  await finish(model);
  const text = generation.tokens.slice(0, -1);
  const scored = [...(await model.score(text.slice(0, 7), 0)), ...(await model.score(text.slice(7), 7))];
  assert.equal(scored.length, text.length);
  assert.deepEqual(scored.slice(generation.prompt.length - 1), wanted);
  await assert.rejects(model.score([1], 3), /BadInput: start; 3; 0, or the \d+ tokens so far/);
  await assert.rejects(model.score([1e6], text.length), /BadInput: a token/);
});

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

test('a shard that is as long as it should be but has another bit is refused', async () => {
  const damaged = shard.slice();
  damaged[4321] = (damaged[4321] ?? 0) ^ 8;
  const options = { model: 'tiny', kv: /** @type {[number, number]} */ ([16, 16]), context: 256 };
  const opening = createModel(fixture.manifest, () => [damaged], await openWasm('relaxed'), options);
  await assert.rejects(opening, /ModelFault: tiny; low_bits.*damaged: its SHA-256/);
});

test('greedy is the first of the largest', () => {
  assert.equal(likeliest(Float32Array.from([1, 3, 2, 3])), 1);
});

const LOGITS = [0.5, 0.3, 0.15, 0.05].map(Math.log);

test('logits that choose no token are named', () => {
  const found = (/** @type {number[]} */ ...logits) => findFlaw(Float32Array.from(logits));
  assert.equal(found(1, Number.NaN, 3), 'the logit of token 1 is NaN');
  assert.equal(found(1, Infinity), 'the logit of token 1 is Infinity');
  assert.equal(found(2, 2, 2), 'all 3 logits of a token are equal');
  assert.deepEqual([found(2, -Infinity, 2), found(5), found(0, 1)], ['', '', '']);
});

test('a backend that chooses by itself tells the same flaws', async () => {
  const ends = [];
  for (const flaw of [ODD_LOGIT, EQUAL_LOGITS]) {
    const generation = (await open({ kv: [3, 2] })).open({ tokens: fixture.prompt, maxNewTokens: 4 });
    assert.equal(generation.accept(flaw), null);
    ends.push([generation.finish, generation.error?.args, generation.generated]);
  }
  assert.deepEqual(ends, [
    ['failed', ['a logit of a token is NaN or infinite'], []],
    ['failed', ['all logits of a token are equal'], []],
  ]);
});

/** How often each token is drawn. @param {import('../../browser_runtime/page/engines/low_bits/sampler.js').Sampling} sampling */
function shares(sampling, draws = 4000) {
  const sampler = new Sampler({ temperature: 1, seed: 3, ...sampling }, []);
  const counts = [0, 0, 0, 0];
  for (let draw = 0; draw < draws; draw++) {
    const token = sampler.sample(Float32Array.from(LOGITS));
    counts[token] = (counts[token] ?? 0) + 1;
  }
  return counts.map((count) => count / draws);
}

test('tokens are drawn as often as temperature, top_k and top_p leave them', () => {
  /** @type {[import('../../browser_runtime/page/engines/low_bits/sampler.js').Sampling, number[]][]} */
  const cases = [
    [{}, [0.5, 0.3, 0.15, 0.05]],
    [{ top_k: 2 }, [0.625, 0.375, 0, 0]],
    [{ top_p: 0.75 }, [0.625, 0.375, 0, 0]],
    [{ top_p: 0.85 }, [0.5, 0.3, 0.15, 0].map((share) => share / 0.95)],
    [{ top_k: 3, top_p: 0.6 }, [0.625, 0.375, 0, 0]],
    [{ temperature: 0.5 }, [0.25, 0.09, 0.0225, 0.0025].map((share) => share / 0.365)],
  ];
  for (const [sampling, wanted] of cases) {
    for (const [token, share] of shares(sampling).entries()) {
      // Four standard deviations of 4000 draws.
      const p = wanted[token] ?? 0;
      assert.ok(
        Math.abs(share - p) <= 4 * Math.sqrt((p * (1 - p)) / 4000),
        JSON.stringify([sampling, token, share]),
      );
    }
  }
});

test('a seed gives the same draws again, another one others', () => {
  const draw = (/** @type {number} */ seed) => {
    const sampler = new Sampler({ temperature: 1, seed }, []);
    return Array.from({ length: 40 }, () => sampler.sample(Float32Array.from(LOGITS)));
  };
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1), draw(2));
});

test('a repetition penalty divides what is above 0 and multiplies what is below, prompt included', () => {
  const sampler = new Sampler({ repetition_penalty: 2 }, [0, 1]);
  const logits = Float32Array.from([4, -1, 3, -9]);
  assert.equal(sampler.sample(logits), 2);
  assert.deepEqual(Array.from(logits), [2, -2, 3, -9]);
  assert.equal(sampler.sample(Float32Array.from([4, -1, 3, -9])), 0);
});

test('a backend that chooses by itself gives the tokens that are read one by one, with an eighth of the readings', async () => {
  const samplings = [
    {},
    { temperature: 1.2, seed: 1 },
    { temperature: 2, top_k: 20, top_p: 0.9, repetition_penalty: 1.4, seed: 2 },
    { repetition_penalty: 1.5 },
  ];
  const options = { model: 'tiny', kv: /** @type {[number, number]} */ ([3, 2]), context: 256 };
  const found = [];
  for (const backend of [await openWasm('relaxed'), await openChoosing()]) {
    const model = await createModel(fixture.manifest, () => pieces(), backend, options);
    const generations = samplings.map((sampling, index) =>
      model.open({ tokens: fixture.prompt.slice(index), maxNewTokens: 30 + index, sampling }),
    );
    await finish(model);
    found.push(generations.map(({ generated }) => generated));
    if ('readings' in backend) {
      const { readings } = /** @type {{readings: number}} */ (backend);
      assert.ok(readings < 40, `${readings} readings for prompts of 150 tokens and 126 new ones`);
    }
  }
  assert.deepEqual(found[1], found[0]);
});

test('a model that does not fit is out of memory before its first byte is fetched', async () => {
  let fetched = false;
  const fetchShard = () => {
    fetched = true;
    return pieces();
  };
  const options = {
    model: 'tiny',
    kv: /** @type {[number, number]} */ ([16, 16]),
    context: 512,
    slots: 60_000,
  };
  const backend = await openWasm('simd');
  await assert.rejects(createModel(fixture.manifest, fetchShard, backend, options), /OutOfMemory/);
  assert.equal(fetched, false);
});

test('progress follows each piece up to the whole', async () => {
  /** @type {number[]} */
  const told = [];
  await open({ onProgress: (loaded, total) => told.push(loaded / total) });
  assert.equal(told.length, Math.ceil(shard.length / 1001));
  assert.deepEqual(
    told,
    told.toSorted((a, b) => a - b),
  );
  assert.equal(told.at(-1), 1);
});

test('the cache takes the bytes that browser_runtime/low_bits counts', () => {
  const smollm2 = { layers: 30, heads: 9, kv_heads: 3, head_dim: 64 };
  const wanted = {
    16: [5898240, 23592960, 94371840],
    4: [3778560, 8755200, 28661760],
    2: [4700160, 8017920, 21288960],
    k3v2: [3548160, 7142400, 21519360],
    k16v4: [4838400, 16174080, 61516800],
  };
  for (const [text, bytes] of Object.entries(wanted)) {
    const shape = layoutCache(smollm2, { bits: parseCacheBits(text), context: 4096, slots: 1 });
    const found = [256, 1024, 4096].map((tokens) => usedBytes(shape, tokens));
    assert.deepEqual(found, bytes, text);
  }
  for (const text of ['5', 'k3', 'k3v7', '']) assert.throws(() => parseCacheBits(text), /BadInput: kv_cache/);
});
