/**
 * The models of this lane: opened by the module of their family, run and released by key.
 */
import { openDevice } from './engines/devices.js';
import { openGraph } from './engines/graphs.js';
import { countParts, forgetParts, holdsPart } from './engines/parts.js';
import { openRuntime, openTransformers } from './engines/runtimes.js';
import { SharedResults } from './engines/shared_results.js';
import { warmUp } from './engines/warmup.js';
import { fetchGraphs } from './families/graphs/model_files.js';
import { NO_RECALL, Recall } from './families/graphs/recall.js';
import { Fault } from './faults.js';

/** @typedef {import('./families/contract.js').OpenedFamily<unknown>} Opened */
/** @typedef {import('./engines/runtimes.js').Backend} Backend */
/** @typedef {Record<string, unknown>} Values */

// No other characters: a name reaches a module of `families/` and nothing else.
const FAMILY_NAME = /^[a-z][a-z0-9_]*$/;
const BACKENDS = ['webgpu', 'webnn', 'wasm'];

export class Models {
  /** @type {Map<string, {opened: Opened, backend: Backend, shares: boolean}>} */
  #loaded = new Map();
  /** @type {Map<string, string>} keys whose device was lost, and why */
  #lost = new Map();

  /**
   * @param {string} session named in errors that say which session was lost
   * @param {{lane?: number, resultBytes?: number}} [bounds] `resultBytes`: what results of encoders may take
   */
  constructor(session, { lane = 0, resultBytes = 0 } = {}) {
    this.session = session;
    this.lane = lane;
    this.results = new SharedResults(resultBytes);
  }

  /** What models of this lane share now. */
  get sharing() {
    return { graphs: countParts(), results: this.results.counts };
  }

  /**
   * Opens a model; one that is open already answers as it did then.
   * @param {Values} call `key, family, model, backend, precision, options, acceleration, kept, front_ends`
   * @returns {Promise<Values>}
   */
  async load({ key, family, model, backend, precision, options, acceleration, kept, front_ends }) {
    const name = String(key);
    const found = this.#loaded.get(name) ?? {
      opened: await openFamily(String(family), {
        model,
        backend: checkBackend(backend),
        precision,
        options,
        acceleration,
        kept,
        front_ends,
      }),
      backend: checkBackend(backend),
      shares: /** @type {Values | undefined} */ (options)?.tensor_sharing !== false,
    };
    this.#loaded.set(name, found);
    this.#lost.delete(name);
    return /** @type {any} */ (found.opened.ready);
  }

  /**
   * @param {Values} call `id, key, items, options, fresh`
   * @param {() => boolean} isCancelled
   * @param {import('./families/contract.js').TokenStream} [stream]
   * @returns {Promise<Values>}
   */
  async run({ id, key, items, options, fresh }, isCancelled, stream) {
    const { opened, shares } = this.#take(String(key));
    if (!Array.isArray(items)) throw new Fault('BadInput', 'items', typeof items, 'a list');
    const run = `${this.session}/${this.lane}/${id}`;
    const recall = shares && fresh !== true ? new Recall(this.results, run) : NO_RECALL;
    const choices = /** @type {Values} */ (options ?? {});
    const answer = await opened.run(items, choices, isCancelled, stream, recall);
    const shared = recall.notes.length > 0 ? { shared: recall.notes } : {};
    return { ...answer, details: { ...answer.details, run, ...shared } };
  }

  /** Frees the results that are kept, for memory is short. */
  shed() {
    return { freed_bytes: this.results.forget() };
  }

  /**
   * The logits behind each token of a text, for measuring how well a language model predicts it.
   * @param {Values} call `key, tokens, start`: the text's first `start` tokens were scored before
   * @returns {Promise<Values>}
   */
  async score({ key, tokens, start }) {
    const { opened } = this.#take(String(key));
    if (!opened.score) throw new Fault('Unsupported', `scoring by ${key}`, 'it is no language model');
    const { data } = /** @type {{data: Int32Array}} */ (tokens);
    return { logits: await opened.score(data, Number(start ?? 0)) };
  }

  /** True for a model whose runs go on side by side. @param {unknown} key */
  generates(key) {
    return this.#loaded.get(String(key))?.opened.generates === true;
  }

  /** @param {Values} call `key`; one that is not loaded is no error: it is what was wanted */
  async unload({ key }) {
    const model = this.#loaded.get(String(key));
    this.#loaded.delete(String(key));
    await model?.opened.release();
    return {};
  }

  /**
   * Forgets the models of a lost device: they cannot run any more.
   * @param {Backend} backend
   * @param {string} reason
   */
  forget(backend, reason) {
    forgetParts(backend);
    this.results.forget(`${backend}|`);
    for (const [key, model] of this.#loaded) {
      if (model.backend !== backend) continue;
      this.#loaded.delete(key);
      this.#lost.set(key, reason);
      // Frees what lies in WASM memory; that nothing can be freed on the device any more is no news.
      model.opened.release().catch(() => {});
    }
  }

  /** @param {string} key */
  #take(key) {
    const model = this.#loaded.get(key);
    if (model) return model;
    const reason = this.#lost.get(key);
    if (reason !== undefined) throw new Fault('DeviceLost', this.session, reason);
    throw new Fault('BadRequest', `the model ${key} is not loaded in this lane`);
  }
}

/**
 * @param {string} family
 * @param {{model: any, backend: Backend, precision: unknown, options: any, acceleration: any, kept: unknown, front_ends: unknown}} wanted
 * @returns {Promise<Opened>}
 */
async function openFamily(family, wanted) {
  const [{ open }, realm] = await Promise.all([importFamily(family), openRealm(wanted.backend)]);
  const options = wanted.options ?? {};
  const isOpen = (/** @type {string | undefined} */ content) =>
    options.tensor_sharing !== false && holdsPart(wanted.backend, content);
  const fetched = wanted.acceleration?.parallel_loading ? fetchGraphs(wanted.model, isOpen) : undefined;
  try {
    return await open({ ...wanted, options, realm, fetched });
  } finally {
    fetched?.clear();
  }
}

/**
 * The module of that name, if it opens models. Raises Unsupported; a module that is there and cannot be loaded is
 * no lack of this page.
 * @param {string} family
 * @returns {Promise<{open: (opening: any) => Promise<Opened>}>}
 */
async function importFamily(family) {
  const path = `./families/${family}.js`;
  const isMissing = async () => (await fetch(new URL(path, import.meta.url))).status === 404;
  const found = FAMILY_NAME.test(family)
    ? await import(path).catch(async (error) => {
        if (await isMissing()) return null;
        throw error;
      })
    : null;
  if (typeof found?.open === 'function') return found;
  throw new Fault('Unsupported', `the family ${family}`, 'this page has no engine for it');
}

/** The tools of a family, all of them on the one onnxruntime-web build that serves `backend`. @param {Backend} backend */
async function openRealm(backend) {
  const { ort } = await openRuntime(backend);
  return { openTransformers: () => openTransformers(backend), ort, openDevice, openGraph, warmUp };
}

/** @param {unknown} backend @returns {Backend} */
function checkBackend(backend) {
  if (BACKENDS.includes(String(backend))) return /** @type {Backend} */ (backend);
  throw new Fault('BadInput', 'backend', JSON.stringify(backend), `one of ${BACKENDS.join(', ')}`);
}
