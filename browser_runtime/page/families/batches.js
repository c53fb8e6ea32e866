/**
 * The course of a call whose items run in batches: prepare each, compute together, finish each.
 */
import { Stopwatch, settle, stopIfCancelled } from './results.js';

/** @typedef {import('./contract.js').Timings} Timings */
/**
 * @template Prepared, Computed, Output
 * @typedef {object} Steps
 * @property {(item: unknown, index: number) => Prepared} prepare may fail for this item alone
 * @property {(prepared: {index: number, value: Prepared}[]) => {index: number, value: Prepared}[][]} split
 * @property {(batch: Prepared[], watch: Stopwatch) => Promise<Computed>} compute
 * @property {(computed: Computed, row: number, prepared: Prepared) => Output} finish may fail for this item alone
 */

/**
 * The items' results in their order, whatever order the batches ran in.
 * @template Prepared, Computed, Output
 * @param {unknown[]} items
 * @param {Steps<Prepared, Computed, Output>} steps
 * @param {() => boolean} isCancelled
 * @returns {Promise<{results: import('./contract.js').Result<Output>[], timings: Timings}>}
 */
export async function runBatches(items, steps, isCancelled) {
  const watch = new Stopwatch();
  const { prepared, results } = await prepareAll(items, steps, watch);
  for (const batch of steps.split(prepared)) {
    stopIfCancelled(isCancelled);
    const computed = await steps.compute(
      batch.map(({ value }) => value),
      watch,
    );
    for (const [row, { index, value }] of batch.entries()) {
      const finish = () => settle(() => steps.finish(computed, row, value));
      results[index] = await watch.time('postprocess_ms', finish);
    }
  }
  return { results, timings: watch.timings };
}

/**
 * @template Prepared, Computed, Output
 * @param {unknown[]} items
 * @param {Steps<Prepared, Computed, Output>} steps
 * @param {Stopwatch} watch
 */
async function prepareAll(items, steps, watch) {
  /** @type {import('./contract.js').Result<Output>[]} */
  const results = [];
  /** @type {{index: number, value: Prepared}[]} */
  const prepared = [];
  for (const [index, item] of items.entries()) {
    const settled = await watch.time('preprocess_ms', () => settle(() => steps.prepare(item, index)));
    if (settled.ok) prepared.push({ index, value: settled.output });
    else results[index] = settled;
  }
  return { prepared, results };
}
