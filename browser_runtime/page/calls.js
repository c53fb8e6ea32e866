/**
 * The calls of one lane: answered one after another in the order they came, each exactly once.
 */
import { endsLane, Fault, toWire } from './faults.js';

/** @typedef {{id: number, kind: string} & Record<string, unknown>} Call */
/** @typedef {import('./families/contract.js').TokenStream} TokenStream */
/** @typedef {(call: Call, isCancelled: () => boolean, stream: TokenStream) => Promise<Record<string, unknown>>} Answerer */
/** @typedef {{ok: false, error: ReturnType<typeof toWire>, last: boolean}} Failure `last`: the lane starts anew after it */
/** @typedef {{type: 'answer', id: number} & ({ok: true, value: Record<string, unknown>} | Failure)} Answer */

export class CallQueue {
  /** @type {Promise<void>} resolves when everything that was pushed so far is answered */
  #last = Promise.resolve();
  /** @type {Set<number>} queued or running */
  #open = new Set();
  /** @type {Set<number>} */
  #cancelled = new Set();
  /** @type {Map<number, Set<number>>} items of open calls that the worker wants no more of */
  #stopped = new Map();
  /** @type {(tokens: {id: number, item: number, tokens: number[], made_ms: number}) => void} sends what a call generates before its answer */
  emit = () => {};
  /** @type {(call: Call) => boolean} true for a call that runs beside those behind it */
  isShared = () => false;

  /**
   * @param {Answerer} answerer gives a call's value, or throws
   * @param {(answer: Answer) => void} send
   * @param {string} session named in errors that say which session was lost
   * @param {() => void} [end] called after an answer that is the last: nothing can be computed here any more
   */
  constructor(answerer, send, session, end = () => {}) {
    this.answerer = answerer;
    this.send = send;
    this.session = session;
    this.end = end;
  }

  /** Answers `call` after those before it; those behind a shared one do not wait for its end. @param {Call} call */
  push(call) {
    this.#open.add(call.id);
    this.#last = this.#last.then(() => {
      const settled = this.#settle(call);
      return this.isShared(call) ? undefined : settled;
    });
  }

  /** Ends one item of a call; its others go on. @param {number} id @param {number} item */
  stop(id, item) {
    if (!this.#open.has(id)) return;
    const items = this.#stopped.get(id) ?? new Set();
    this.#stopped.set(id, items.add(item));
  }

  /** Drops a queued call; a running one is asked to stop between its items. @param {number} id */
  cancel(id) {
    if (this.#open.has(id)) this.#cancelled.add(id);
  }

  /** Cancels whatever is open: nobody waits for it any more. */
  cancelAll() {
    for (const id of this.#open) this.#cancelled.add(id);
  }

  /** Sends the one answer to `call`; never throws. @param {Call} call */
  async #settle(call) {
    const { id } = call;
    /** @type {TokenStream} */
    const stream = {
      emit: (item, tokens) => this.emit({ id, item, tokens, made_ms: Date.now() }),
      isStopped: (item) => this.#stopped.get(id)?.has(item) === true,
    };
    try {
      if (this.#cancelled.has(id)) throw new Fault('InferenceError', 'The call was cancelled before it ran.');
      const value = await this.answerer(call, () => this.#cancelled.has(id), stream);
      this.send({ type: 'answer', id, ok: true, value });
    } catch (error) {
      const last = endsLane(error);
      this.send({ type: 'answer', id, ok: false, error: toWire(error, this.session), last });
      if (last) this.end();
    } finally {
      this.#stopped.delete(id);
      this.#open.delete(id);
      this.#cancelled.delete(id);
    }
  }
}
