/**
 * Runs a model until its latency has reached steady state: browsers compile hot code late (Chromium's WASM needs
 * about 50 runs), and shaders are compiled in the first run.
 */

// Two consecutive windows of runs are compared by their medians, which one slow run on a busy machine cannot move.
const WINDOW = 5;
// Medians of consecutive windows of a warmed-up MiniLM stayed within 8 % on a shared two-core machine.
const TOLERANCE = 0.1;

// A first run of this many time bounds is no compilation but a software GPU on a large model: one is enough.
const PATIENCE = 3;

/**
 * True when the last `window` runs were not faster than the `window` before them, beyond `tolerance`.
 * Getting slower is noise of the machine, never a reason to go on.
 * @param {readonly number[]} latencies milliseconds, in order
 * @param {{window?: number, tolerance?: number}} [rule]
 * @returns {boolean}
 */
export function isSteady(latencies, { window = WINDOW, tolerance = TOLERANCE } = {}) {
  if (latencies.length < 2 * window) return false;
  const before = median(latencies.slice(-2 * window, -window));
  const after = median(latencies.slice(-window));
  return after >= before * (1 - tolerance);
}

/**
 * Runs `runOnce` until steady or until a bound is met. The first run compiles, so there is a second one unless the
 * first was hopelessly slow.
 * @param {() => Promise<unknown>} runOnce
 * @param {{maxRuns?: number, maxMs?: number, minRuns?: number, now?: () => number}} [bounds] `minRuns` is for
 *   engines known to tier up late: a plateau before it does not count
 * @returns {Promise<{ms: number, runs: number, steady: boolean, firstMs: number, lastMs: number}>}
 */
export async function warmUp(runOnce, { maxRuns = 100, maxMs = 3000, minRuns = 2, now = clock } = {}) {
  /** @type {number[]} */
  const latencies = [];
  const started = now();
  const spentMs = () => now() - started;
  const boundMs = () => (latencies.length < 2 ? PATIENCE * maxMs : maxMs);
  const mayGoOn = () => latencies.length === 0 || (latencies.length < maxRuns && spentMs() < boundMs());
  const isReady = () => latencies.length >= minRuns && isSteady(latencies);
  while (mayGoOn() && !isReady()) {
    const begun = now();
    await runOnce();
    latencies.push(now() - begun);
  }
  const [firstMs = 0, lastMs = 0] = [latencies[0], latencies.at(-1)];
  return { ms: spentMs(), runs: latencies.length, steady: isReady(), firstMs, lastMs };
}

const clock = () => performance.now();

/** @param {number[]} values @returns {number} */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
