import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSteady, warmUp } from '../../browser_runtime/page/engines/warmup.js';

/** A clock and a run that takes the next of `latencies`, the last one for ever. @param {number[]} latencies */
function simulate(latencies) {
  let time = 0;
  let runs = 0;
  const runOnce = async () => {
    time += latencies[Math.min(runs, latencies.length - 1)] ?? 0;
    runs += 1;
  };
  return { runOnce, now: () => time };
}

test('too few runs are never steady', () => {
  assert.equal(isSteady([]), false);
  assert.equal(isSteady(Array(9).fill(5)), false);
});

test('a level run of latencies is steady', () => {
  assert.equal(isSteady(Array(10).fill(5)), true);
});

test('latencies that still fall are not', () => {
  assert.equal(isSteady([50, 40, 32, 26, 21, 17, 14, 11, 9, 7]), false);
});

test('one slow run does not matter, nor does a machine that gets busy', () => {
  assert.equal(isSteady([5, 5, 5, 5, 5, 5, 90, 5, 5, 5]), true);
  assert.equal(isSteady([5, 5, 5, 5, 5, 8, 8, 8, 8, 8]), true);
});

test('only the last two windows count', () => {
  assert.equal(isSteady([900, 800, ...Array(10).fill(5)]), true);
});

test('warms up until steady', async () => {
  const { runOnce, now } = simulate([200, 90, 60, 40, 30, 20, 10, 10, 10]);
  const { runs, steady, firstMs, lastMs, ms } = await warmUp(runOnce, { now });
  assert.equal(steady, true);
  assert.ok(runs > 10 && runs < 30, `${runs} runs`);
  assert.deepEqual([firstMs, lastMs], [200, 10]);
  assert.equal(ms, now());
});

test('a hopelessly slow first run is the only one', async () => {
  const { runOnce, now } = simulate([16000, 16000]);
  const { runs, steady, ms } = await warmUp(runOnce, { maxMs: 3000, now });
  assert.deepEqual([runs, steady, ms], [1, false, 16000]);
});

test('a software GPU is stopped by the time, after two runs', async () => {
  const { runOnce, now } = simulate([8000, 6000]);
  const { runs, steady, ms } = await warmUp(runOnce, { maxMs: 3000, now });
  assert.deepEqual([runs, steady, ms], [2, false, 14000]);
});

test('the number of runs is bounded', async () => {
  const falling = Array.from({ length: 500 }, (_, run) => 1000 * 0.9 ** run);
  const { runOnce, now } = simulate(falling);
  const { runs, steady } = await warmUp(runOnce, { maxRuns: 20, maxMs: 1e9, now });
  assert.deepEqual([runs, steady], [20, false]);
});

test('a plateau before minRuns does not count', async () => {
  const { runOnce, now } = simulate([...Array(20).fill(30), ...Array(40).fill(10)]);
  const { runs, steady } = await warmUp(runOnce, { minRuns: 40, now });
  assert.ok(runs >= 40 && steady, `${runs} runs`);
});

test('what a run throws comes through', async () => {
  await assert.rejects(
    warmUp(async () => {
      throw new Error('no such shape');
    }),
    /no such shape/,
  );
});
