/**
 * From an opened model to the answer of a `load` call: warmed up, which compiles its shaders, and described.
 */

import { Fault } from '../../faults.js';
import { listAccelerations, NOT_WARMED, warmsUp } from './accelerations.js';

/** @typedef {import('../contract.js').Graph} Graph */
/** @typedef {import('../contract.js').Backend} Backend */
/** @typedef {import('../contract.js').Opening} Opening */
/**
 * @template Output
 * @typedef {object} Engine what a family runs a model with
 * @property {import('../contract.js').OpenedFamily<Output>['run']} run
 * @property {() => Promise<Graph[]>} openGraphs the graphs that a usual item needs, the main one first
 * @property {() => Record<string, unknown>} describe
 * @property {() => string[]} [listAccelerations] rows of the table of acceleration that it knows of itself
 * @property {() => Promise<void>} release
 */
/** @typedef {{item: unknown, options: Record<string, unknown>}} Sample a usual item, and how it is run */

/**
 * The family, ready to run; released again when it cannot run `sample`.
 * @template Output
 * @param {Opening} opening
 * @param {Engine<Output>} engine
 * @param {Sample} sample
 * @returns {Promise<import('../contract.js').OpenedFamily<Output>>}
 */
export async function makeReady(opening, engine, { item, options }) {
  try {
    const runOnce = () => runSample(opening.model, engine, item, options);
    const graphs = await engine.openGraphs();
    const warm = warmsUp(opening)
      ? await opening.realm.warmUp(runOnce, readBounds(opening.model))
      : NOT_WARMED;
    return {
      ready: describeReady(opening, graphs, warm, engine),
      run: (items, chosen, isCancelled, stream, recall) =>
        engine.run(items, chosen, isCancelled, stream, recall),
      release: () => engine.release(),
    };
  } catch (error) {
    await engine.release();
    throw error;
  }
}

/** Bounds of the warm-up, as the worker names them. @param {import('../contract.js').Model} model */
function readBounds({ limits }) {
  return { maxRuns: limits.warm_up_runs, maxMs: limits.warm_up_ms };
}

/**
 * Runs the item; its failure is the model's, also where it names the item.
 * @param {import('../contract.js').Model} model
 * @param {Engine<unknown>} engine
 * @param {unknown} item
 * @param {Record<string, unknown>} options
 */
async function runSample(model, engine, item, options) {
  const { results } = await engine.run([item], options, () => false);
  const [result] = results;
  if (result?.ok !== false) return;
  const { code, args } = result.error;
  if (code !== 'BadInput') throw new Fault(code, ...args);
  throw new Fault('ModelFault', model.name, `a usual item cannot be prepared: ${args.join(' ')}`);
}

/**
 * The graphs that opened, and the time of each step.
 * @template Output
 * @param {Opening} opening
 * @param {Graph[]} graphs
 * @param {import('../contract.js').WarmUp} warm
 * @param {Engine<Output>} engine
 * @returns {import('../contract.js').Ready}
 */
function describeReady(opening, graphs, warm, engine) {
  const kernel = [...new Set(graphs.map((graph) => graph.kernel))].join(' + ');
  return {
    backend: opening.backend,
    kernel,
    load_ms: sum(graphs, (graph) => graph.loadMs),
    compile_ms: sum(graphs, (graph) => graph.compileMs),
    warmup_ms: warm.ms,
    warmup_runs: warm.runs,
    warmup_steady: warm.steady,
    weight_bytes: sum(graphs, (graph) => graph.weightBytes),
    placement: addPlacements(graphs),
    acceleration: listAccelerations(opening, warm, kernel, engine.listAccelerations?.()),
    parts: listParts(graphs),
    details: engine.describe(),
  };
}

/**
 * The parts that may be other models' too.
 * @param {{part: string | null, weightBytes: number, isShared: boolean}[]} graphs
 * @returns {NonNullable<import('../contract.js').Ready['parts']>}
 */
export function listParts(graphs) {
  return graphs.flatMap(({ part, weightBytes, isShared }) =>
    part === null ? [] : [{ name: part, size_bytes: weightBytes, shared: isShared }],
  );
}

/**
 * @param {Graph[]} graphs
 * @param {(graph: Graph) => number} measure
 */
function sum(graphs, measure) {
  return graphs.reduce((total, graph) => total + measure(graph), 0);
}

/**
 * Nodes by backend over all graphs; null when one graph does not tell.
 * @param {Graph[]} graphs
 */
function addPlacements(graphs) {
  /** @type {Partial<Record<Backend, number>>} */
  const total = {};
  for (const { placement } of graphs) {
    if (!placement) return null;
    for (const backend of /** @type {Backend[]} */ (Object.keys(placement))) {
      total[backend] = (total[backend] ?? 0) + (placement[backend] ?? 0);
    }
  }
  return total;
}
