/**
 * A batch's results: each item succeeds or fails alone, and the time that each step took.
 */
import { Fault, toWire } from '../../faults.js';

/** @typedef {import('../contract.js').Timings} Timings */
/** @typedef {import('../contract.js').Graph} Graph */

// These end the whole call: no other item could succeed after them.
const ENDS_CALL = ['DeviceLost', 'OutOfMemory', 'BackendFault', 'Unsupported', 'InferenceError'];

/**
 * The value of `step`, or the error that this one item failed with.
 * @template T
 * @param {() => T | Promise<T>} step
 * @returns {Promise<import('../contract.js').Result<T>>}
 */
export async function settle(step) {
  try {
    return { ok: true, output: await step() };
  } catch (thrown) {
    const error = toWire(thrown);
    if (ENDS_CALL.includes(error.code)) throw thrown;
    return { ok: false, error };
  }
}

// A cancel is heard, and a beat leaves the lane, after so long at most: often enough for a person, a percent of the time.
const PAUSE_MS = 100;
let pausedAt = 0;

/**
 * Raises when the worker gave the call up. What computes here waits for nothing that is outside, so no message would
 * come in before the end: from time to time this lets them in.
 * @param {() => boolean} isCancelled
 */
export async function stopIfCancelled(isCancelled) {
  if (performance.now() - pausedAt > PAUSE_MS) {
    await new Promise((resolve) => setTimeout(resolve));
    pausedAt = performance.now();
  }
  if (isCancelled()) throw new Fault('InferenceError', 'The request was cancelled.');
}

/** Sums up, by step, where a call's time goes. */
export class Stopwatch {
  /** @type {Timings} */
  timings = { preprocess_ms: 0, compute_ms: 0, readback_ms: 0, postprocess_ms: 0 };

  /**
   * The value of `work`; its time is added to `step`, also when it fails.
   * @template T
   * @param {keyof Timings} step
   * @param {() => T | Promise<T>} work
   * @returns {Promise<T>}
   */
  async time(step, work) {
    const started = performance.now();
    try {
      return await work();
    } finally {
      this.timings[step] += performance.now() - started;
    }
  }

  /**
   * The outputs of one run of `graph`; its compute and readback times are added.
   * @param {Graph} graph
   * @param {import('../contract.js').Tensors} feeds
   */
  async run(graph, feeds) {
    const outputs = await graph.run(feeds);
    this.timings.compute_ms += graph.lastRun.computeMs;
    this.timings.readback_ms += graph.lastRun.readbackMs;
    return outputs;
  }
}
