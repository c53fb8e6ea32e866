/**
 * Parts of models that this lane holds once, however many models use them: counted, and released with the last use.
 */

/**
 * @template Part
 * @typedef {object} Lease one use of a part
 * @property {Part} part
 * @property {boolean} isShared true where the part was open already
 * @property {() => Promise<void>} release ends this use; the part itself goes with the last one
 */
/** @typedef {{n_parts: number, n_references: number, size_bytes: number, saved_bytes: number}} PartCounts */
/**
 * @template Part
 * @typedef {{opening: Promise<Part>, references: number, sizeBytes: number}} Entry
 */

/** @template Part */
export class SharedParts {
  /** @type {Map<string, Entry<Part>>} */
  #entries = new Map();

  /**
   * @param {(part: Part) => Promise<void>} free
   * @param {(part: Part) => number} measure the bytes that a part holds
   */
  constructor(free, measure) {
    this.free = free;
    this.measure = measure;
  }

  /**
   * The part of that key, opened by the first who takes it. Raises what `open` raises, to all that waited for it.
   * @param {string} key equal for parts that are the same to the bit, on the same device
   * @param {() => Promise<Part>} open
   * @returns {Promise<Lease<Part>>}
   */
  async take(key, open) {
    const known = this.#entries.get(key);
    const entry = known ?? { opening: open(), references: 0, sizeBytes: 0 };
    this.#entries.set(key, entry);
    entry.references += 1;
    try {
      const part = await entry.opening;
      entry.sizeBytes = this.measure(part);
      return { part, isShared: known !== undefined, release: this.#releaseOnce(key, entry, part) };
    } catch (error) {
      this.#forgetEntry(key, entry);
      throw error;
    }
  }

  /** True where a part whose key begins so is open. @param {string} prefix */
  holds(prefix) {
    return [...this.#entries.keys()].some((key) => key.startsWith(prefix));
  }

  /**
   * Gives out no more of those whose key begins so: their device was lost. Who uses them still releases them.
   * @param {string} prefix
   */
  forget(prefix) {
    for (const key of [...this.#entries.keys()]) if (key.startsWith(prefix)) this.#entries.delete(key);
  }

  /** @returns {PartCounts} `saved_bytes`: what those with more than one use would hold besides */
  get counts() {
    const entries = [...this.#entries.values()];
    const add = (/** @type {(entry: Entry<Part>) => number} */ of) =>
      entries.reduce((sum, entry) => sum + of(entry), 0);
    return {
      n_parts: entries.length,
      n_references: add(({ references }) => references),
      size_bytes: add(({ sizeBytes }) => sizeBytes),
      saved_bytes: add(({ references, sizeBytes }) => (references - 1) * sizeBytes),
    };
  }

  /**
   * @param {string} key
   * @param {Entry<Part>} entry
   * @param {Part} part
   */
  #releaseOnce(key, entry, part) {
    let isReleased = false;
    return async () => {
      if (isReleased) return;
      isReleased = true;
      entry.references -= 1;
      if (entry.references > 0) return;
      this.#forgetEntry(key, entry);
      await this.free(part);
    };
  }

  /** @param {string} key @param {Entry<Part>} entry another one may have its key by now */
  #forgetEntry(key, entry) {
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
  }
}
