/**
 * Graphs by shape: opened when first asked for, the least recently used one released beyond the limit.
 */

/** @typedef {import('../contract.js').Graph} Graph */
/** @typedef {Record<string, number[]>} Shapes */

export class GraphCache {
  /** @type {Map<string, Promise<Graph>>} in the order of use, oldest first */
  #graphs = new Map();
  /** Time spent opening so far: a run that meets a new shape says how much of it was its own. */
  openedMs = 0;

  /**
   * @param {(shapes: Shapes) => Promise<Graph>} openFor
   * @param {(shapes: Shapes) => string} keyOf equal for shapes that one graph serves
   * @param {number} limit graphs kept at once
   */
  constructor(openFor, keyOf, limit) {
    this.openFor = openFor;
    this.keyOf = keyOf;
    this.limit = limit;
  }

  /**
   * The graph for `shapes`; two callers that ask at once share one opening.
   * @param {Shapes} shapes
   * @returns {Promise<Graph>}
   */
  async take(shapes) {
    const key = this.keyOf(shapes);
    const graph = this.#graphs.get(key) ?? this.#open(key, shapes);
    this.#graphs.delete(key);
    this.#graphs.set(key, graph);
    await this.#dropOldest();
    return graph;
  }

  /** Releases every graph. */
  async release() {
    const graphs = [...this.#graphs.values()];
    this.#graphs.clear();
    for (const graph of graphs) await releaseOpened(graph);
  }

  /**
   * @param {string} key
   * @param {Shapes} shapes
   */
  #open(key, shapes) {
    const started = performance.now();
    const graph = this.openFor(shapes).finally(() => {
      this.openedMs += performance.now() - started;
    });
    // A failed opening must not stay on the shelf: the next caller tries anew.
    graph.catch(() => this.#graphs.delete(key));
    return graph;
  }

  async #dropOldest() {
    while (this.#graphs.size > this.limit) {
      const [key, graph] = /** @type {[string, Promise<Graph>]} */ (this.#graphs.entries().next().value);
      this.#graphs.delete(key);
      await releaseOpened(graph);
    }
  }
}

/** @param {Promise<Graph>} opening */
async function releaseOpened(opening) {
  // An opening that failed has nothing to release; its caller got the error.
  const graph = await opening.catch(() => null);
  await graph?.release();
}
