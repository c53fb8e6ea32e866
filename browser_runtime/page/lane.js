/**
 * One lane: a dedicated Worker with its own socket, engines and models. Hidden pages are throttled, Workers are
 * not; and a lane that computes blocks nobody else.
 */
import { CallQueue } from './calls.js';
import { onDeviceLost } from './engines/devices.js';
import { setThreads } from './engines/runtimes.js';
import { describe, Fault, toWire } from './faults.js';
import { Models } from './models.js';
import { probe } from './probes.js';
import { LaneSocket } from './socket.js';

/** @typedef {import('./calls.js').Call} Call */
/** @typedef {import('./socket.js').Told & {boot: string, threads: number, result_bytes: number}} Start the parameters of a lane, from main.js */

const MODEL_CALLS = ['load', 'run', 'unload', 'shed'];
const SILENT = { emit() {}, isStopped: () => false };

class Lane {
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #beats;

  /** @param {Start} start */
  constructor(start) {
    this.boot = start.boot;
    this.models = new Models(start.session, { lane: start.lane, resultBytes: start.result_bytes });
    this.socket = new LaneSocket(start, start.boot, {
      onMessage: (message) => this.#receive(message),
      onWelcome: (beatMs) => this.#startBeats(beatMs),
      onDrop: () => this.#stop(),
    });
    const send = (/** @type {import('./calls.js').Answer} */ answer) => this.socket.send(answer);
    /** @type {import('./calls.js').Answerer} */
    const answer = (call, isCancelled, stream) => this.answer(call, isCancelled, stream);
    this.calls = new CallQueue(answer, send, start.session, () => this.#end());
    this.calls.emit = (tokens) => this.socket.send({ type: 'tokens', ...tokens });
    this.calls.isShared = (call) => call.kind === 'run' && this.models.generates(call.key);
    onDeviceLost((backend, reason) => this.#forgetDevice(backend, reason));
  }

  /**
   * A call's value, and what its models share where that may have changed. Whatever it throws becomes the call's error
   * answer; where memory is short nothing is kept for later.
   * @param {Call} call
   * @param {() => boolean} isCancelled
   * @param {import('./calls.js').TokenStream} [stream]
   * @returns {Promise<Record<string, unknown>>}
   */
  async answer(call, isCancelled, stream = SILENT) {
    try {
      const value = await this.#answer(call, isCancelled, stream);
      return MODEL_CALLS.includes(call.kind) ? { ...value, sharing: this.models.sharing } : value;
    } catch (error) {
      if (toWire(error).code === 'OutOfMemory') this.models.shed();
      throw error;
    }
  }

  /**
   * @param {Call} call
   * @param {() => boolean} isCancelled
   * @param {import('./calls.js').TokenStream} stream
   * @returns {Promise<Record<string, unknown>>}
   */
  async #answer(call, isCancelled, stream) {
    switch (call.kind) {
      case 'run':
        return this.models.run(call, isCancelled, stream);
      case 'score':
        return this.models.score(call);
      case 'load':
        return this.models.load(call);
      case 'unload':
        return this.models.unload(call);
      case 'shed':
        return this.models.shed();
      case 'echo':
        return { value: call.value };
      case 'probe':
        return probe();
      case 'kernels':
        return (await import('./engines/low_bits/checking.js')).checkKernels(call, isCancelled);
      default:
        throw new Fault('Unsupported', `a call of kind ${call.kind}`, 'this page does not know it');
    }
  }

  /** Sends an event; `more` holds whatever else a reader needs. */
  tell(/** @type {string} */ event, /** @type {string} */ text, more = {}) {
    this.socket.send({ type: 'event', event, text, ...more });
  }

  /** @param {Record<string, unknown>} message */
  #receive(message) {
    if (message.type === 'call') this.calls.push(/** @type {Call} */ (message));
    else if (message.type === 'cancel') this.calls.cancel(Number(message.id));
    else if (message.type === 'stop') this.calls.stop(Number(message.id), Number(message.item));
  }

  /** @param {number} beatMs */
  #startBeats(beatMs) {
    clearInterval(this.#beats);
    this.#beats = setInterval(() => this.#beat(), beatMs);
  }

  #beat() {
    this.socket.send({ type: 'beat' });
  }

  #stop() {
    clearInterval(this.#beats);
    this.calls.cancelAll();
  }

  /** Has the page start this lane anew: an engine has crashed, and what it left cannot be trusted or freed. */
  async #end() {
    self.postMessage({ type: 'restart', token: await this.socket.leave() });
  }

  /** @param {import('./engines/runtimes.js').Backend} backend @param {string} reason */
  #forgetDevice(backend, reason) {
    this.models.forget(backend, reason);
    this.tell('device-lost', reason, { backend });
  }
}

self.onmessage = ({ data }) => {
  self.onmessage = null;
  setThreads(data.threads);
  const lane = new Lane(data);
  // Nothing of ours leaves a promise alone; a library that does is worth a line in the worker's log.
  self.onunhandledrejection = ({ reason }) => lane.tell('warning', describe(reason));
};
