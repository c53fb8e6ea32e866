/**
 * The course of a call whose items run in batches: prepare each, compute together, finish each.
 */
import { Fault, toWire } from '../../faults.js';
import { Stopwatch, settle, stopIfCancelled } from './results.js';

/** @typedef {import('../contract.js').Timings} Timings */
/**
 * @template Prepared, Computed, Output
 * @typedef {object} Steps
 * @property {(item: unknown, index: number) => Prepared} prepare may fail for this item alone
 * @property {(prepared: {index: number, value: Prepared}[]) => {index: number, value: Prepared}[][]} split
 * @property {(batch: Prepared[], watch: Stopwatch) => Promise<Computed>} compute fails with ModelFault where the
 *   graph cannot run on these very items
 * @property {(computed: Computed, row: number, prepared: Prepared) => Output} finish may fail for this item alone
 * @property {number} [atOnce] items that are prepared before the first of them is computed; default: all. For items
 *   that are larger when they are prepared
 */

/**
 * The items' results in their order, whatever order the batches ran in.
 * @template Prepared, Computed, Output
 * @param {unknown[]} items
 * @param {Steps<Prepared, Computed, Output>} steps
 * @param {() => boolean} isCancelled
 * @returns {Promise<{results: import('../contract.js').Result<Output>[], timings: Timings}>}
 */
export async function runBatches(items, steps, isCancelled) {
  const watch = new Stopwatch();
  /** @type {import('../contract.js').Result<Output>[]} */
  const results = [];
  const { atOnce = items.length } = steps;
  for (let from = 0; from < items.length; from += atOnce) {
    const group = items.slice(from, from + atOnce).map((item, at) => ({ index: from + at, item }));
    const prepared = await prepareAll(group, steps, watch, isCancelled, results);
    for (const batch of steps.split(prepared)) {
      for (const { index, result } of await runBatch(batch, steps, watch, isCancelled))
        results[index] = result;
    }
  }
  return { results, timings: watch.timings };
}

/**
 * The results of one batch. Where the graph cannot run on it, each item runs alone, so that only the one that it
 * cannot run on fails.
 * @template Prepared, Computed, Output
 * @param {{index: number, value: Prepared}[]} batch
 * @param {Steps<Prepared, Computed, Output>} steps
 * @param {Stopwatch} watch
 * @param {() => boolean} isCancelled
 * @returns {Promise<{index: number, result: import('../contract.js').Result<Output>}[]>}
 */
async function runBatch(batch, steps, watch, isCancelled) {
  await stopIfCancelled(isCancelled);
  const values = batch.map(({ value }) => value);
  try {
    const computed = await steps.compute(values, watch);
    return await watch.time('postprocess_ms', () => finishAll(batch, computed, steps));
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'ModelFault') throw error;
    const [first] = batch;
    if (batch.length === 1 && first)
      return [{ index: first.index, result: { ok: false, error: toWire(error) } }];
    const alone = [];
    for (const one of batch) alone.push(...(await runBatch([one], steps, watch, isCancelled)));
    return alone;
  }
}

/**
 * @template Prepared, Computed, Output
 * @param {{index: number, value: Prepared}[]} batch
 * @param {Computed} computed
 * @param {Steps<Prepared, Computed, Output>} steps
 */
async function finishAll(batch, computed, steps) {
  const finished = [];
  for (const [row, { index, value }] of batch.entries()) {
    finished.push({ index, result: await settle(() => steps.finish(computed, row, value)) });
  }
  return finished;
}

/**
 * The items that could be prepared.
 * @template Prepared, Computed, Output
 * @param {{index: number, item: unknown}[]} items
 * @param {Steps<Prepared, Computed, Output>} steps
 * @param {Stopwatch} watch
 * @param {() => boolean} isCancelled
 * @param {import('../contract.js').Result<Output>[]} results where the errors of the others are noted
 */
async function prepareAll(items, steps, watch, isCancelled, results) {
  /** @type {{index: number, value: Prepared}[]} */
  const prepared = [];
  for (const { index, item } of items) {
    await stopIfCancelled(isCancelled);
    const settled = await watch.time('preprocess_ms', () => settle(() => steps.prepare(item, index)));
    if (settled.ok) prepared.push({ index, value: settled.output });
    else results[index] = settled;
  }
  return prepared;
}
