/** A model's rows and cache beside its weights, and one step of its plan. */
import { ropeTable } from '../../kernels/twins/operations.js';
import { buildPlan } from './plan.js';

/** @typedef {import('./backend.js').Backend} Backend */
/** @typedef {import('./backend.js').CacheShape} CacheShape */
/** @typedef {import('./backend.js').StepRow} StepRow */
/** @typedef {import('./plan.js').RowsName} RowsName */
/** @typedef {import('./weights.js').Weights} Weights */

export class Network {
  /** @type {Record<RowsName, import('./backend.js').Rows>} */
  #rows;
  #plan;

  /**
   * Lays everything out; nothing is allocated afterwards. Raises OutOfMemory.
   * @param {Backend} backend beside the weights
   * @param {Weights} weights
   * @param {CacheShape} cache
   * @param {number} maxRows tokens of one step
   */
  constructor(backend, weights, cache, maxRows) {
    const { manifest } = weights;
    this.backend = backend;
    this.weights = weights;
    this.manifest = manifest;
    this.cache = cache;
    this.#plan = buildPlan(manifest);
    const a = manifest.architecture;
    const rows = (/** @type {number} */ columns, n = maxRows) => backend.rows(n, columns);
    const [q, kv] = [a.heads * a.head_dim, a.kv_heads * a.head_dim];
    this.#rows = {
      ...{ x: rows(a.width), h: rows(a.width), q: rows(q), k: rows(kv), v: rows(kv), attention: rows(q) },
      ...{ gate: rows(a.ffn), up: rows(a.ffn) },
      ...{ picked: rows(a.width, cache.slots), logits: rows(a.vocab, cache.slots) },
    };
    backend.cache(cache);
    const { inverse_frequencies: frequencies, attention_factor: factor } = a.rope;
    backend.ropeTable(ropeTable(frequencies, factor, cache.context), frequencies.length);
  }

  /**
   * Computes a step; the logits of the rows in `picks`, in their order.
   * @param {StepRow[]} rows at most one run of neighbours of a slot, which crosses no multiple of 64
   * @param {number[]} picks
   * @returns {Promise<Float32Array[]>}
   */
  async step(rows, picks) {
    this.backend.begin(rows);
    this.#walk(rows.length, picks);
    return this.backend.read(this.#rows.logits, picks.length);
  }

  /** True where the backend can choose tokens by itself. */
  get canChoose() {
    return this.backend.choose !== undefined;
  }

  /**
   * Computes the next tokens of all rows, `passes` of each, with one reading back: row by row in each pass.
   * @param {StepRow[]} rows one of a slot, none of which crosses a multiple of 64 on the way
   * @param {import('./backend.js').RowChoice[]} choices
   * @param {number} passes
   * @returns {Promise<Uint32Array>}
   */
  async choose(rows, choices, passes) {
    const picks = Array.from(rows.keys());
    this.backend.begin(rows);
    this.backend.prepareChoice?.(this.#rows.logits, choices);
    for (let pass = 0; pass < passes; pass++) {
      this.#walk(rows.length, picks);
      this.backend.choose?.(this.#rows.logits, pass);
    }
    return (await this.backend.chosen?.(passes)) ?? new Uint32Array();
  }

  /** @param {number} n rows @param {number[]} picks */
  #walk(n, picks) {
    for (const step of this.#plan) {
      // Nobody wants the logits in the midst of a prompt.
      if (step.op === 'pick' && picks.length === 0) break;
      this.#compute(step, n, picks);
    }
  }

  /** @param {import('./plan.js').PlanStep} step @param {number} n @param {number[]} picks */
  #compute(step, n, picks) {
    const { backend } = this;
    const rows = this.#rows;
    const { norm_eps: eps, head_dim: headDim } = this.manifest.architecture;
    const count = (/** @type {RowsName} */ name) => (name === 'picked' ? picks.length : n);
    switch (step.op) {
      case 'embed':
        return backend.embed(this.weights.matrix(step.matrix), rows[step.out]);
      case 'norm':
        return backend.norm(rows[step.x], this.weights.matrix(step.weight), rows[step.out], eps);
      case 'pick':
        return backend.norm(rows[step.x], this.weights.matrix(step.weight), rows[step.out], eps, picks);
      case 'quantize':
        return backend.quantize(rows[step.x], count(step.x));
      case 'matmul':
        return backend.matmul(this.weights.matrix(step.matrix), rows[step.x], rows[step.out], count(step.x));
      case 'bias':
        return backend.addBias(rows[step.x], this.weights.matrix(step.weight));
      case 'headNorm':
        return backend.headNorm(rows[step.x], this.weights.matrix(step.weight), step.heads, headDim, eps);
      case 'rope':
        return backend.rope(rows[step.x], step.heads, headDim);
      case 'append':
        return backend.append(step.layer, rows.k, rows.v);
      case 'attend':
        return backend.attend(step.layer, rows.q, rows.attention);
      case 'silu':
        return backend.silu(rows.gate, rows.up);
      case 'add':
        return backend.add(rows.x, rows[step.x]);
    }
  }
}
