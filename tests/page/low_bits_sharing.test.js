import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layoutCache } from '../../browser_runtime/page/engines/low_bits/cache.js';
import { openModel } from '../../browser_runtime/page/engines/low_bits/model.js';
import { WasmMemory } from '../../browser_runtime/page/engines/low_bits/wasm_memory.js';
import { Weights } from '../../browser_runtime/page/engines/low_bits/weights.js';
import { countParts, namePart, takePart } from '../../browser_runtime/page/engines/parts.js';
import { uniform } from '../../browser_runtime/page/kernels/random.js';
import { answer, finish, fixture, open, pieces } from './tiny_model.js';
import { openWasm } from './wasm_kernels.js';

/** @typedef {[number, number]} Bits */
/** Three system prompts: two of them begin alike. */
const [LONG, OTHER] = [fixture.prompt.slice(0, 100), fixture.prompt.slice(20, 100).reverse()];
const SYSTEMS = [LONG, [...LONG.slice(0, 70), ...OTHER.slice(0, 30)], OTHER];

for (const kv of /** @type {Bits[]} */ ([
  [16, 16],
  [8, 4],
  [3, 2],
])) {
  test(`prompts that share beginnings in a cache of k${kv[0]}v${kv[1]} answer as without any sharing`, async () => {
    const next = uniform(kv[0]);
    const below = (/** @type {number} */ n) => Math.floor(next() * n);
    const shared = await open({ kv, slots: 2 });
    let reused = 0;
    for (let round = 0; round < 12; round++) {
      const prompts = Array.from({ length: 1 + below(3) }, () => [
        .../** @type {number[]} */ (SYSTEMS[below(SYSTEMS.length)]),
        ...Array.from({ length: 1 + below(40) }, () => below(50)),
      ]);
      const running = prompts.map((tokens) => shared.open({ tokens, maxNewTokens: 6 }));
      for (let step = below(4); step > 0; step--) await shared.step();
      const stopped = below(4) === 0 ? running.shift() : undefined;
      stopped?.cancel();
      await finish(shared);
      for (const generation of running) {
        const alone = await answer(await open({ kv, slots: 1 }), generation.prompt, 6);
        assert.deepEqual(generation.generated, alone.generated);
        assert.equal(alone.reused, 0);
        reused += generation.reused;
      }
    }
    assert.ok(reused > 100, `only ${reused} tokens were taken over`);
  });
}

test('the longest beginning that any place holds is taken over', async () => {
  const model = await open({ slots: 3 });
  for (const system of SYSTEMS) await answer(model, [...system, 1], 2);
  for (const system of SYSTEMS) assert.equal((await answer(model, [...system, 7], 2)).reused, system.length);
});

test('as many prompts run at once as the bytes for the cache hold, the others wait for their turn', async () => {
  const kv = /** @type {Bits} */ ([16, 16]);
  const { slotBytes } = layoutCache(fixture.manifest.architecture, { bits: kv, context: 256, slots: 1 });
  for (const [cacheBytes, slots] of [
    [4 * slotBytes, 3],
    [4 * slotBytes - 1, 2],
    [1, 1],
    [100 * slotBytes, 8],
  ]) {
    const model = await open({ kv, slots: 8, cacheBytes });
    assert.equal(model.facts.slots, slots);
    const running = Array.from({ length: 10 }, (_, n) => model.open({ tokens: [n, 2, 3], maxNewTokens: 12 }));
    const counts = [];
    while (model.busy) counts.push((await model.step()).filter(({ token }) => token !== null).length);
    assert.equal(Math.max(...counts), slots);
    assert.ok(running.every(({ finish: end }) => end === 'length'));
  }
});

test('a text that an earlier run has filled the context with is at its end', async () => {
  const model = await open();
  const whole = await answer(model, fixture.prompt, 1000);
  assert.equal(whole.tokens.length, 257, 'the last token needs no place in the cache');
  for (const n of [255, 256, 257]) {
    const resumed = model.open({
      tokens: whole.tokens.slice(0, n),
      earlier: n - fixture.prompt.length,
      maxNewTokens: 1000,
    });
    await finish(model);
    assert.equal(resumed.finish, 'length');
    assert.deepEqual(resumed.tokens, whole.tokens);
  }
  assert.throws(
    () => model.open({ tokens: whole.tokens.slice(0, 256), maxNewTokens: 1 }),
    /at most 255 tokens/,
  );
});

test('two models on the same weights answer as each alone, and the weights stay with the second', async () => {
  const kvs = /** @type {Bits[]} */ ([
    [16, 16],
    [3, 2],
  ]);
  const wanted = [];
  for (const kv of kvs) wanted.push((await answer(await open({ kv }), fixture.prompt)).generated);
  const part = namePart('wasm', 'the hash of its files', 'low_bits');
  let fetches = 0;
  const openShared = async (/** @type {Bits} */ kv) => {
    const layOut = async () => Weights.layOut(await openWasm('relaxed'), fixture.manifest, 'tiny');
    const fetchShard = () => {
      fetches += 1;
      return pieces();
    };
    return openModel(await takePart(part, layOut), fetchShard, { model: 'tiny', kv, context: 256 });
  };
  const [first, second] = [await openShared([16, 16]), await openShared([3, 2])];
  assert.equal(fetches, 1);
  const { weight_bytes: bytes } = first.facts;
  assert.deepEqual(countParts(), { n_parts: 1, n_references: 2, size_bytes: bytes, saved_bytes: bytes });
  const running = [first, second].map((model) => model.open({ tokens: fixture.prompt, maxNewTokens: 24 }));
  while (first.busy || second.busy) await Promise.all([first.step(), second.step()]);
  assert.deepEqual(
    running.map(({ generated }) => generated),
    wanted,
  );
  await first.release();
  assert.equal(countParts().saved_bytes, 0);
  const { memory_bytes: before } = second.facts;
  // What the first one left is taken again, as clean as new memory.
  for (let round = 0; round < 3; round++) {
    const again = await openShared([16, 16]);
    assert.deepEqual((await answer(again, fixture.prompt)).generated, wanted[0]);
    await again.release();
  }
  assert.deepEqual([fetches, second.facts.memory_bytes], [1, before]);
  assert.deepEqual((await answer(second, fixture.prompt)).generated, wanted[1]);
  await second.release();
  assert.equal(countParts().n_parts, 0);
});

test('a model that does not fit beside another leaves it and the weights as they were', async () => {
  const layOut = async () => Weights.layOut(await openWasm('simd'), fixture.manifest, 'tiny');
  const take = () => takePart(namePart('wasm', 'another hash', 'low_bits'), layOut);
  const options = { model: 'tiny', kv: /** @type {Bits} */ ([16, 16]), context: 256 };
  const model = await openModel(await take(), () => pieces(), options);
  const { generated } = await answer(model, fixture.prompt);
  const tooMany = { ...options, context: 512, slots: 60_000 };
  await assert.rejects(
    openModel(await take(), () => pieces(), tooMany),
    /OutOfMemory/,
  );
  assert.equal(countParts().n_references, 1);
  assert.deepEqual((await answer(model, fixture.prompt)).generated, generated);
  await model.release();
});

test('memory that is given back is given out again, clean, whatever the order', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const next = uniform(seed);
    const memory = new WasmMemory();
    /** @type {{place: number, size: number, mark: number}[]} */
    const held = [];
    for (let step = 0; step < 80; step++) {
      const out = next() < 0.45 ? held.splice(Math.floor(next() * held.length), 1)[0] : undefined;
      if (out) memory.free(out.place, out.size);
      else {
        const size = 1 + Math.floor(next() * 3000);
        const place = memory.alloc(size);
        assert.ok(new Uint8Array(memory.buffer, place, size).every((byte) => byte === 0));
        const mark = 1 + (step % 255);
        new Uint8Array(memory.buffer, place, size).fill(mark);
        held.push({ place, size, mark });
      }
      for (const { place, size, mark } of held) {
        assert.ok(new Uint8Array(memory.buffer, place, size).every((byte) => byte === mark));
      }
    }
    for (const { place, size } of held) memory.free(place, size);
    assert.equal(memory.alloc(1), 64);
  }
});
