/**
 * Which nodes of a graph really run where, read from onnxruntime's own verbose log: it has no call for it.
 *
 * The lines that are read (onnxruntime 1.31, session_state.cc and webnn_execution_provider.cc):
 *   All nodes placed on [WebGpuExecutionProvider]. Number of nodes: 6
 *   Node(s) placed on [CPUExecutionProvider]. Number of nodes: 7
 *     MemcpyToHost (Memcpy)
 *   ... number of nodes in the graph: 8 number of nodes supported by WebNN: 1
 */

/** @typedef {Partial<Record<import('./runtimes.js').Backend, number>>} Placement */

/** @type {Record<string, import('./runtimes.js').Backend>} */
const PROVIDERS = {
  CPUExecutionProvider: 'wasm',
  WebGpuExecutionProvider: 'webgpu',
  WebNNExecutionProvider: 'webnn',
};
const RUNTIME_LINE = /\[[VIW]:onnxruntime:/;
const TELLING_LINE =
  /placed on \[|VerifyEachNodeIsAssignedToAnEp\] +Memcpy|number of nodes supported by WebNN/;

/** @type {string[] | null} the lines of the creation that is being listened to */
let collected = null;
let tapped = false;

/** Puts a tap on console, once, that keeps onnxruntime's verbose lines for `listen` and out of the console. */
export function tapConsole() {
  if (tapped) return;
  tapped = true;
  for (const method of /** @type {const} */ (['log', 'info', 'warn', 'error', 'debug'])) {
    const print = console[method].bind(console);
    console[method] = (...args) => {
      if (!keep(args[0])) print(...args);
    };
  }
}

/** True when `line` was onnxruntime's while someone listened. @param {unknown} line */
function keep(line) {
  if (collected === null || typeof line !== 'string' || !RUNTIME_LINE.test(line)) return false;
  if (TELLING_LINE.test(line)) collected.push(line);
  return true;
}

/**
 * What `create` made, and the telling lines that were logged meanwhile.
 * @template T
 * @param {() => Promise<T>} create makes a session with logSeverityLevel 0
 * @returns {Promise<{made: T, lines: string[]}>}
 */
export async function listen(create) {
  /** @type {string[]} */
  const lines = [];
  collected = lines;
  try {
    return { made: await create(), lines };
  } finally {
    collected = null;
  }
}

/**
 * Nodes by backend, copies between devices left out; null when the log does not tell.
 * WebNN fuses its nodes into one a partition, so its own count stands for them.
 * @param {string[]} lines
 * @returns {Placement | null}
 */
export function readPlacement(lines) {
  const placement = countNodes(lines);
  if (Object.keys(placement).length === 0) return null;
  const supported = lines
    .findLast((line) => line.includes('supported by WebNN'))
    ?.match(/nodes supported by WebNN: (\d+)/)?.[1];
  if (placement.webnn && supported) placement.webnn = Number(supported);
  return placement;
}

/** @param {string[]} lines @returns {Placement} */
function countNodes(lines) {
  /** @type {Placement} */
  const placement = {};
  /** @type {import('./runtimes.js').Backend | undefined} */
  let current;
  for (const line of lines) {
    const [, provider = '', count] = line.match(/placed on \[(\w+)\]\. Number of nodes: (\d+)/) ?? [];
    if (count) current = PROVIDERS[provider];
    if (!current) continue;
    placement[current] =
      (placement[current] ?? 0) + (count ? Number(count) : /\] +Memcpy/.test(line) ? -1 : 0);
  }
  return placement;
}
