/**
 * The prompts of all calls of a model, stepped together; each leaves when it is done.
 */
import { findLoss } from '../../engines/devices.js';
import { Fault, toWire } from '../../faults.js';
import { NdArray } from '../../frames.js';

/** @typedef {import('../contract.js').TokenStream} TokenStream */
/** @typedef {import('./language_models.js').Opened['model']} LanguageModel */
/** @typedef {import('../../engines/low_bits/generation.js').Generation} Generation */
/**
 * @typedef {object} Item
 * @property {{data: Int32Array}} ids the prompt's tokens, and behind them those of an earlier run
 * @property {number} n_prompt
 * @property {import('../../engines/low_bits/generation.js').Picture[]} [pictures]
 * @property {import('../contract.js').WireError} [error] why it cannot be computed
 */
/** @typedef {{max_new_tokens: number, sampling: import('../../engines/low_bits/sampler.js').Sampling, stop_tokens: number[]}} Choices */
/** @typedef {{tokens: number[], finish: string, prompt_tokens: number, reused_tokens: number}} Output */
/** @typedef {import('../contract.js').Result<Output>} Result */
/**
 * @typedef {object} Running
 * @property {number} item its place in the call
 * @property {Generation} generation
 * @property {() => boolean} isCancelled
 * @property {TokenStream} stream
 * @property {(result: Result) => void} resolve
 * @property {(error: unknown) => void} reject of its whole call
 */

/** @type {TokenStream} */
export const SILENT = { emit() {}, isStopped: () => false };

export class GeneratingEngine {
  /** @type {Map<Generation, Running>} */
  #running = new Map();
  /** @type {Promise<unknown>} */
  #turn = Promise.resolve();
  #isStepping = false;
  #isReleased = false;

  /** @param {LanguageModel} model @param {import('../../engines/devices.js').Device} device that it computes on */
  constructor(model, device) {
    this.model = model;
    this.device = device;
  }

  /**
   * What `work` gives, between two steps: a device computes one thing at a time.
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  between(work) {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  /**
   * @param {unknown[]} items
   * @param {Record<string, unknown>} options
   * @param {() => boolean} isCancelled
   * @param {TokenStream} stream
   * @returns {Promise<import('../contract.js').Answer<Output>>}
   */
  async run(items, options, isCancelled, stream) {
    const choices = /** @type {Choices} */ (options);
    /** @type {Generation[]} */
    const generations = [];
    const results = items.map((item, place) => {
      const ended = this.#start(/** @type {Item} */ (item), place, choices, isCancelled, stream, generations);
      this.#step();
      return ended;
    });
    const done = await Promise.all(results);
    if (isCancelled()) throw new Fault('InferenceError', 'The call was cancelled while it ran.');
    const prefill_ms = total(generations, ({ prefillMs }) => prefillMs);
    const decode_ms = total(generations, ({ decodeMs }) => decodeMs);
    const n_tokens = total(generations, ({ generated }) => generated.length);
    const cache_bytes_used = total(generations, ({ tokens }) => this.model.cacheBytes(tokens.length));
    return {
      results: done,
      timings: { preprocess_ms: 0, compute_ms: prefill_ms + decode_ms, readback_ms: 0, postprocess_ms: 0 },
      details: {
        prefill_ms,
        ms_per_token: decode_ms / Math.max(n_tokens - generations.length, 1),
        cache_bytes_used,
      },
    };
  }

  /**
   * @param {Item} item @param {number} place @param {Choices} choices @param {() => boolean} isCancelled
   * @param {TokenStream} stream @param {Generation[]} generations
   * @returns {Promise<Result>}
   */
  #start(item, place, choices, isCancelled, stream, generations) {
    const { ids, n_prompt: nPrompt, pictures, error: refused } = item;
    return new Promise((resolve, reject) => {
      if (refused) {
        resolve({ ok: false, error: refused });
        return;
      }
      try {
        const generation = this.model.open({
          tokens: [...ids.data],
          earlier: ids.data.length - nPrompt,
          maxNewTokens: choices.max_new_tokens,
          stopTokens: choices.stop_tokens,
          sampling: choices.sampling,
          pictures,
        });
        generations.push(generation);
        generation.promptTokens = nPrompt;
        this.#running.set(generation, { item: place, generation, isCancelled, stream, resolve, reject });
      } catch (error) {
        resolve({ ok: false, error: toWire(error, '') });
      }
    });
  }

  /** Steps until nothing is left to compute; one loop for all calls. */
  async #step() {
    if (this.#isStepping) return;
    this.#isStepping = true;
    try {
      while (this.#running.size > 0) {
        if (this.#isReleased) throw new Fault('PageFault', 'the model was released while it ran');
        this.#cancelUnwanted();
        for (const event of await this.between(() => this.model.step())) this.#tell(event);
        await turn();
      }
    } catch (error) {
      const failure = await this.#explain(error);
      for (const { reject } of this.#running.values()) reject(failure);
      for (const generation of this.#running.keys()) generation.cancel();
      this.#running.clear();
    } finally {
      this.#isStepping = false;
    }
  }

  /** What failed of a step, and with it every call: its device may be gone. @param {unknown} error */
  async #explain(error) {
    const loss = await findLoss(this.device, true);
    return loss === null ? error : new Fault('DeviceLost', '', `while text was generated: ${loss}`);
  }

  #cancelUnwanted() {
    for (const { generation, isCancelled, stream, item } of this.#running.values()) {
      if (isCancelled() || stream.isStopped(item)) generation.cancel();
    }
  }

  /** @param {import('../../engines/low_bits/model.js').StepEvent} event */
  #tell({ generation, token, finish }) {
    const running = this.#running.get(generation);
    if (!running) return;
    if (token !== null) running.stream.emit(running.item, [token]);
    if (finish === null) return;
    this.#running.delete(generation);
    if (generation.error) {
      running.resolve({ ok: false, error: toWire(generation.error, '') });
      return;
    }
    const { generated: tokens, reused: reused_tokens, promptTokens: prompt_tokens } = generation;
    running.resolve({ ok: true, output: { tokens, finish, prompt_tokens, reused_tokens } });
  }

  /**
   * Runs the sample as often as the worker wants, so that the browser has compiled the kernels for speed.
   * @param {import('../contract.js').Model} model
   * @param {import('../contract.js').OpenedFamily<Output>['run']} run
   */
  async warmUp({ name, settings, limits }, run = this.run.bind(this)) {
    const started = performance.now();
    const choices = { .../** @type {Choices} */ (settings.example), max_new_tokens: limits.warm_up_runs };
    const { results } = await run([settings.sample], choices, () => false, SILENT);
    const [result] = results;
    if (result?.ok !== true) {
      const why = `a usual prompt fails: ${result?.error.args.join(' ')}`;
      const isOutput = result?.error.code === 'BadOutput';
      throw isOutput ? new Fault('BadOutput', why) : new Fault('ModelFault', name, why);
    }
    return { runs: result.output.tokens.length, ms: performance.now() - started, steady: true };
  }

  /** Logits [tokens, vocabulary]. Raises Unsupported. @param {Int32Array} tokens @param {number} start */
  async score(tokens, start) {
    if (!('score' in this.model)) {
      throw new Fault('Unsupported', 'scoring a text', 'only weights of the low-bit engine do it');
    }
    const rows = await this.model.score([...tokens], start);
    const columns = rows[0]?.length ?? 0;
    const all = new Float32Array(rows.length * columns);
    for (const [index, row] of rows.entries()) all.set(row, index * columns);
    return new NdArray('float32', [rows.length, columns], all);
  }

  async release() {
    this.#isReleased = true;
    await this.model.release();
  }
}

/** @param {Generation[]} generations @param {(generation: Generation) => number} measure */
const total = (generations, measure) => generations.reduce((sum, generation) => sum + measure(generation), 0);

const channel = new MessageChannel();
/** @type {(() => void)[]} */
const turns = [];
channel.port1.onmessage = () => turns.shift()?.();

/** Lets everything else of the lane go on: messages, and the steps of other calls. @returns {Promise<void>} */
function turn() {
  return new Promise((resolve) => {
    turns.push(resolve);
    channel.port2.postMessage(null);
  });
}
