/**
 * Results of encoders that this lane keeps by what they were computed of: one that was computed before is taken from
 * here, by whichever model has that encoder. Counted while they are in use; beyond a number of bytes the least recently
 * used one goes, and all of them where memory is short.
 */

/**
 * @template Value
 * @typedef {object} Made a result that was just computed
 * @property {Value} value never changed from here on
 * @property {number} sizeBytes
 * @property {() => void} [free] called once, when nobody uses it any more
 * @property {() => Made<Value>} [detach] gives one that outlives the graph that made it, in place of this one
 */
/**
 * @template Value
 * @typedef {object} Use of a result
 * @property {Value} value valid until it is released
 * @property {Origin} origin
 * @property {number} sizeBytes
 * @property {() => Use<Value>} again one more use
 * @property {() => void} release
 */
/** @typedef {{run: string, model: string, graph: string}} Origin the run that computed a result, for which model */
/** @typedef {{made: Made<any>, origin: Origin, references: number, isKept: boolean}} Entry */
/** @typedef {{n_results: number, n_references: number, size_bytes: number, hits: number, misses: number, dropped: number, hit_bytes: number}} ResultCounts */

export class SharedResults {
  /** @type {Map<string, Entry>} the least recently used first */
  #entries = new Map();
  #sizeBytes = 0;
  #hits = 0;
  #misses = 0;
  #dropped = 0;
  #hitBytes = 0;

  /** @param {number} budgetBytes the most that all of them take; 0 keeps nothing */
  constructor(budgetBytes) {
    this.budgetBytes = budgetBytes;
  }

  /**
   * One more use of the result of that key; null where it is not here.
   * @param {string} key
   * @returns {Use<any> | null}
   */
  take(key) {
    const entry = this.#entries.get(key);
    if (!entry) {
      this.#misses += 1;
      return null;
    }
    this.#hits += 1;
    this.#hitBytes += entry.made.sizeBytes;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return use(entry);
  }

  /**
   * Takes in a result, and its first use; one that is larger than the budget lives as long as it is used.
   * @param {string} key
   * @param {Made<any>} made
   * @param {Origin} origin
   * @returns {Use<any>}
   */
  keep(key, made, origin) {
    const entry = { made, origin, references: 0, isKept: made.sizeBytes <= this.budgetBytes };
    const first = use(entry);
    if (!entry.isKept) return first;
    this.#drop(key);
    this.#entries.set(key, entry);
    this.#sizeBytes += made.sizeBytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#sizeBytes <= this.budgetBytes) break;
      this.#drop(oldest);
      this.#dropped += 1;
    }
    return first;
  }

  /**
   * Drops those whose key begins so, all without one; what is in use is freed after its last use.
   * @param {string} [prefix]
   * @returns {number} the bytes that they held
   */
  forget(prefix = '') {
    const before = this.#sizeBytes;
    for (const key of [...this.#entries.keys()]) if (key.startsWith(prefix)) this.#drop(key);
    return before - this.#sizeBytes;
  }

  /** @returns {ResultCounts} since the lane began */
  get counts() {
    const entries = [...this.#entries.values()];
    return {
      n_results: entries.length,
      n_references: entries.reduce((sum, { references }) => sum + references, 0),
      size_bytes: this.#sizeBytes,
      hits: this.#hits,
      misses: this.#misses,
      dropped: this.#dropped,
      hit_bytes: this.#hitBytes,
    };
  }

  /** @param {string} key */
  #drop(key) {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#sizeBytes -= entry.made.sizeBytes;
    entry.isKept = false;
    freeUnused(entry);
  }
}

/** @param {Entry} entry @returns {Use<any>} */
function use(entry) {
  entry.references += 1;
  let isReleased = false;
  return {
    value: entry.made.value,
    origin: entry.origin,
    sizeBytes: entry.made.sizeBytes,
    again: () => use(entry),
    release: () => {
      if (isReleased) return;
      isReleased = true;
      entry.references -= 1;
      freeUnused(entry);
    },
  };
}

/** @param {Entry} entry */
function freeUnused({ made, references, isKept }) {
  if (references === 0 && !isKept) made.free?.();
}
