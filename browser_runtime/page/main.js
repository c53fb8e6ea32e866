/**
 * The page: starts one lane for each entry of the address's fragment (see README.md), and anew where its engine has
 * crashed. It computes nothing itself, so that it answers at any time, on a connection of its own, that it is alive.
 */
import { LaneSocket } from './socket.js';

/** @typedef {{lane: number, token: string}} Entry */
/** @typedef {{socket: string, session: string, lanes: Entry[], page: Entry, threads: number, result_bytes: number}} Told */
/** @typedef {Omit<Told, 'lanes' | 'page'> & Entry} Start */

/** @param {string} fragment @returns {Told} */
function readFragment(fragment) {
  return JSON.parse(decodeURIComponent(fragment.slice(1)));
}

/** Each start has a boot id of its own: another one tells the worker that the lane's models are gone. @param {Start} start */
function startLane(start) {
  const worker = new Worker(new URL('./lane.js', import.meta.url), {
    type: 'module',
    name: `lane ${start.lane}`,
  });
  worker.onerror = (event) => show(`lane ${start.lane} failed: ${event.message || 'it could not be loaded'}`);
  worker.onmessage = ({ data }) => {
    if (data?.type !== 'restart') return;
    worker.terminate();
    startLane({ ...start, token: data.token });
  };
  worker.postMessage({ ...start, boot: crypto.randomUUID() });
}

/**
 * Answers every call with nothing: the worker only needs to see that the page answers. A timer would prove less:
 * browsers slow down those of a page that nobody sees.
 * @param {Start} start
 */
function answerCalls(start) {
  const line = new LaneSocket(start, crypto.randomUUID(), {
    onMessage: ({ type, id }) => {
      if (type === 'call') line.send({ type: 'answer', id, ok: true, value: {} });
    },
    onWelcome: () => {},
    onDrop: () => {},
  });
}

/** Puts `text` where a person, or WebDriver, finds it. @param {string} text */
function show(text) {
  const status = document.getElementById('status');
  if (status) status.textContent = text;
}

const { lanes, page, ...told } = readFragment(location.hash);
answerCalls({ ...told, ...page });
for (const lane of lanes) startLane({ ...told, ...lane });
show(`${told.session}: ${lanes.length} lanes started`);
