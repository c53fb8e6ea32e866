/**
 * A lane's connection to its worker: says hello, delivers messages, and comes back with the next token when the
 * connection alone drops. The boot id stays, so the worker knows that the models are still loaded.
 */
import { decode, encode } from './frames.js';

export const PROTOCOL = 1;
// The worker waits 1 s for a lane to come back: the first attempts must fall within it.
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 2000;

/** @typedef {{socket: string, session: string, lane: number, token: string}} Told */
/** @typedef {Record<string, unknown>} Message */
/**
 * @typedef {object} Listener
 * @property {(message: Message) => void} onMessage calls and cancels
 * @property {(beatMs: number) => void} onWelcome
 * @property {() => void} onDrop nobody waits for answers any more
 */

/**
 * How long to wait before attempt `attempt` (from 0): doubling, half of it at random, so that lanes that lost the
 * same worker do not come back at once.
 * @param {number} attempt
 * @param {number} random from 0 to 1
 */
export function delayMs(attempt, random) {
  const full = Math.min(FIRST_DELAY_MS * 2 ** attempt, MAX_DELAY_MS);
  return full / 2 + (full / 2) * random;
}

/** The page's own connection speaks the same way. */
export class LaneSocket {
  /** @type {WebSocket | null} open and welcomed */
  #socket = null;
  #attempt = 0;
  #refused = false;
  /** @type {((token: string) => void) | null} called once the connection that was left has closed */
  #left = null;

  /**
   * @param {Told} told
   * @param {string} boot this page load's id
   * @param {Listener} listener
   */
  constructor(told, boot, listener) {
    this.told = told;
    this.boot = boot;
    this.listener = listener;
    this.token = told.token;
    this.#connect();
  }

  /** Sends `message`; it is dropped while there is no connection, since nobody waits for it. @param {Message} message */
  send(message) {
    const frame = encode(message);
    this.#socket?.send(frame);
  }

  /**
   * Closes the connection for good, once what was sent has gone out.
   * @returns {Promise<string>} the token that serves whoever takes this lane's place
   */
  leave() {
    /** @type {Promise<string>} */
    const left = new Promise((resolve) => {
      this.#left = resolve;
    });
    if (this.#socket) this.#socket.close(1000, 'the lane starts anew');
    else this.#left?.(this.token);
    return left;
  }

  #connect() {
    const socket = new WebSocket(this.told.socket);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => socket.send(encode(this.#hello()));
    socket.onmessage = (event) => this.#read(socket, event.data);
    socket.onclose = () => this.#retry();
  }

  #hello() {
    const { session, lane } = this.told;
    return {
      type: 'hello',
      protocol: PROTOCOL,
      token: this.token,
      session,
      lane,
      boot: this.boot,
    };
  }

  /** Ends the connection at what is no frame: neither side can know what was meant. @param {WebSocket} socket @param {ArrayBuffer} frame */
  #read(socket, frame) {
    try {
      this.#receive(socket, decode(frame));
    } catch (error) {
      console.error('the worker sent what is no frame', error);
      socket.close(4002, 'not a frame');
    }
  }

  /** @param {WebSocket} socket @param {Message} message */
  #receive(socket, message) {
    if (message.type === 'welcome') this.#welcome(socket, message);
    else if (message.type === 'refused') this.#refuse(String(message.reason));
    else this.listener.onMessage(message);
  }

  /** @param {WebSocket} socket @param {Message} welcome */
  #welcome(socket, { next_token, beat_ms, protocol }) {
    if (protocol !== PROTOCOL)
      return this.#refuse(`the worker speaks protocol ${protocol}, this page ${PROTOCOL}`);
    this.token = String(next_token);
    this.#attempt = 0;
    this.#socket = socket;
    this.listener.onWelcome(Number(beat_ms));
  }

  /** A refusal is final: the token will not become valid. @param {string} reason */
  #refuse(reason) {
    this.#refused = true;
    console.error(`the worker refused this lane: ${reason}`);
  }

  #retry() {
    if (this.#socket) this.listener.onDrop();
    this.#socket = null;
    if (this.#left) return this.#left(this.token);
    if (this.#refused) return;
    setTimeout(() => this.#connect(), delayMs(this.#attempt, Math.random()));
    this.#attempt += 1;
  }
}
