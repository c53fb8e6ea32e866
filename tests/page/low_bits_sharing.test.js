import assert from 'node:assert/strict';
import { test } from 'node:test';
import { layoutCache } from '../../browser_runtime/page/engines/low_bits/cache.js';
import { uniform } from '../../browser_runtime/page/kernels/random.js';
import { answer, finish, fixture, open } from './tiny_model.js';

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
