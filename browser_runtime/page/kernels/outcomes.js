/**
 * What a case comes to: how far a backend and its twin are apart, how far they may be, and how long it took.
 *
 * Where a tolerance comes from: u = 2^-24 is float32's unit roundoff, and a sum of n terms in any order differs from
 * the true one by at most (n + 1) u times the sum of the terms' sizes; each product adds one u.
 */
/** @typedef {{got: ArrayLike<number>, wanted: ArrayLike<number>, tolerances: ArrayLike<number>, ms: number, samples: number[], bytes: number}} Outcome */
/** @typedef {{repeats: number, sampleMs: number}} Timer */

export const U = 2 ** -24;

const MAX_OPERATIONS = 4096;

/** The largest error in units of what is allowed: at most 1 where the case is right, NaN where a number is none. @param {Outcome} outcome */
export const worst = ({ got, wanted, tolerances }) =>
  Array.from(wanted).reduce((most, value, index) => {
    const share = Math.abs((got[index] ?? Number.NaN) - value) / (tolerances[index] ?? 0);
    return Math.max(share, most);
  }, 0);

/**
 * How long an operation takes: some runs, each waited for, and the quickest. A run is as many operations as fill
 * `sampleMs`, waited for once.
 * @param {Timer} timer @param {() => void} compute @param {() => Promise<unknown>} finish
 */
export async function time({ repeats, sampleMs }, compute, finish) {
  const run = async (/** @type {number} */ n) => {
    const started = performance.now();
    for (let i = 0; i < n; i++) compute();
    await finish();
    return (performance.now() - started) / n;
  };
  let n = 1;
  for (; sampleMs > 0 && n < MAX_OPERATIONS; n *= 4) {
    // Of two: a browser may notice late that a GPU is done, and then one would do for a run.
    const ms = n * Math.min(await run(n), await run(n));
    if (ms * 2 > sampleMs) break;
  }
  const samples = [];
  for (let k = 0; k < repeats; k++) samples.push(await run(n));
  return { ms: Math.min(...samples), samples };
}
