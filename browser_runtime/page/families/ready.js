/**
 * The answer to a `load` call, from the graphs that were opened for it.
 */

/** @typedef {import('./contract.js').Graph} Graph */
/** @typedef {import('./contract.js').Backend} Backend */

/**
 * What really opened and how long each step took. `compute_shaders` stays false: no kernel of ours runs in a family.
 * @param {Backend} backend the one that was asked for
 * @param {Graph[]} graphs all that belong to the model, the main one first
 * @param {import('./contract.js').WarmUp} warm
 * @param {Record<string, unknown>} details
 * @returns {import('./contract.js').Ready}
 */
export function describeReady(backend, graphs, warm, details) {
  return {
    backend,
    kernel: [...new Set(graphs.map((graph) => graph.kernel))].join(' + '),
    load_ms: sum(graphs, (graph) => graph.loadMs),
    compile_ms: sum(graphs, (graph) => graph.compileMs),
    warmup_ms: warm.ms,
    warmup_runs: warm.runs,
    warmup_steady: warm.steady,
    weight_bytes: sum(graphs, (graph) => graph.weightBytes),
    placement: addPlacements(graphs),
    compute_shaders: false,
    precompiled: graphs.every((graph) => graph.precompiled),
    details,
  };
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
