import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runBatches } from '../../browser_runtime/page/families/graphs/batches.js';
import { splitBatches } from '../../browser_runtime/page/families/graphs/buckets.js';
import { GraphCache } from '../../browser_runtime/page/families/graphs/graph_cache.js';
import { Fault } from '../../browser_runtime/page/faults.js';

/**
 * Doubles numbers in batches of two, the largest first; 13 cannot be prepared, 99 cannot be finished.
 * @type {import('../../browser_runtime/page/families/graphs/batches.js').Steps<number, number[], number>}
 */
const DOUBLING = {
  prepare: (item) => {
    if (item === 13) throw new Fault('BadInput', 'numbers', '13', 'another');
    return Number(item);
  },
  split: (prepared) =>
    splitBatches(
      prepared.toSorted((one, other) => other.value - one.value),
      2,
    ),
  compute: async (batch) => batch.map((value) => value * 2),
  finish: (computed, row, prepared) => {
    if (prepared === 99) throw new Fault('BadOutput', 'the number is 198');
    return computed[row] ?? NaN;
  },
};

test('results come in the order of the items, and a bad one fails alone', async () => {
  const { results, timings } = await runBatches([1, 13, 5, 99, 3], DOUBLING, () => false);
  assert.deepEqual(
    results.map((result) => (result.ok ? result.output : result.error.code)),
    [2, 'BadInput', 10, 'BadOutput', 6],
  );
  assert.ok(Object.values(timings).every((ms) => ms >= 0));
});

test('a lost device ends the whole call', async () => {
  const lost = {
    ...DOUBLING,
    finish: () => {
      throw new Fault('DeviceLost', '', 'gone');
    },
  };
  await assert.rejects(
    runBatches([1], lost, () => false),
    { code: 'DeviceLost' },
  );
});

test('an item that the graph cannot run on fails alone', async () => {
  const picky = {
    ...DOUBLING,
    compute: async (/** @type {number[]} */ batch) => {
      if (batch.includes(3)) throw new Fault('ModelFault', 'acme/bert', 'index out of range');
      return batch.map((value) => value * 2);
    },
  };
  const { results } = await runBatches([1, 3, 5, 7], picky, () => false);
  assert.deepEqual(
    results.map((result) => (result.ok ? result.output : result.error.code)),
    [2, 'ModelFault', 10, 14],
  );
});

for (const code of ['BackendFault', 'Unsupported', 'OutOfMemory']) {
  test(`what is no item's own fault ends the whole call: ${code}`, async () => {
    const failing = { ...DOUBLING, compute: () => Promise.reject(new Fault(code, 'a', 'b', 'c')) };
    await assert.rejects(
      runBatches([1, 2], failing, () => false),
      { code },
    );
  });
}

test('a cancelled call stops before the next batch', async () => {
  let computed = 0;
  const counting = {
    ...DOUBLING,
    compute: async (/** @type {number[]} */ batch) => {
      computed += 1;
      return batch;
    },
  };
  await assert.rejects(
    runBatches([1, 2, 3, 4], counting, () => computed > 0),
    /cancelled/,
  );
  assert.equal(computed, 1);
});

/** A shelf of `limit` that notes what it opens and releases. @param {number} limit */
function makeShelf(limit) {
  /** @type {string[]} */
  const log = [];
  const open = async (/** @type {Record<string, number[]>} */ { n }) => {
    if (n?.[0] === 0) throw new Error('no graph of size 0');
    log.push(`open ${n}`);
    return /** @type {any} */ ({ release: async () => log.push(`release ${n}`) });
  };
  return { log, shelf: new GraphCache(open, ({ n }) => String(n), limit) };
}

test('a graph is opened once, however many ask', async () => {
  const { log, shelf } = makeShelf(2);
  const [one, other] = await Promise.all([shelf.take({ n: [1] }), shelf.take({ n: [1] })]);
  assert.equal(one, other);
  assert.deepEqual(log, ['open 1']);
});

test('beyond the limit the least recently used graph goes', async () => {
  const { log, shelf } = makeShelf(2);
  for (const size of [1, 2, 1, 3]) await shelf.take({ n: [size] });
  assert.ok(log.includes('release 2') && !log.includes('release 1'));
  await shelf.release();
  assert.equal(log.filter((line) => line.startsWith('release')).length, 3);
});

test('an opening that failed is tried anew', async () => {
  const { shelf } = makeShelf(2);
  await assert.rejects(shelf.take({ n: [0] }), /size 0/);
  await assert.rejects(shelf.take({ n: [0] }), /size 0/);
  await shelf.release();
});

test('a call that is given up stops between its items, though they wait for nothing', async () => {
  let isCancelled = false;
  let prepared = 0;
  const slow = {
    ...DOUBLING,
    prepare: (/** @type {unknown} */ item) => {
      const started = performance.now();
      while (performance.now() - started < 30);
      prepared += 1;
      return Number(item);
    },
  };
  // As a socket's message: it is heard only when what computes lets others run.
  setTimeout(() => {
    isCancelled = true;
  });
  const items = Array.from({ length: 100 }, (_, at) => at);
  await assert.rejects(
    runBatches(items, slow, () => isCancelled),
    /cancelled/,
  );
  assert.ok(prepared < 20, `${prepared} items were prepared`);
});

test('no more items are prepared at once than the family wants', async () => {
  let waiting = 0;
  let most = 0;
  const counted = {
    ...DOUBLING,
    atOnce: 4,
    prepare: (/** @type {unknown} */ item) => {
      waiting += 1;
      most = Math.max(most, waiting);
      return DOUBLING.prepare(item, 0);
    },
    finish: (/** @type {number[]} */ computed, /** @type {number} */ row, /** @type {number} */ value) => {
      waiting -= 1;
      return DOUBLING.finish(computed, row, value);
    },
  };
  const { results } = await runBatches([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], counted, () => false);
  assert.deepEqual(
    results.map((result) => (result.ok ? result.output : null)),
    [2, 4, 6, 8, 10, 12, 14, 16, 18, 20],
  );
  assert.equal(most, 4);
});
