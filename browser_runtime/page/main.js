/**
 * The page: starts one lane for each entry of the address's fragment (see README.md). It computes nothing itself.
 */

/** @typedef {{socket: string, session: string, lanes: {lane: number, token: string}[], threads: number}} Told */

/** @param {string} fragment @returns {Told} */
function readFragment(fragment) {
  return JSON.parse(decodeURIComponent(fragment.slice(1)));
}

/** @param {Told} told */
function startLanes({ socket, session, lanes, threads }) {
  const boot = crypto.randomUUID();
  return lanes.map(({ lane, token }) => {
    const worker = new Worker(new URL('./lane.js', import.meta.url), {
      type: 'module',
      name: `lane ${lane}`,
    });
    worker.onerror = (event) => show(`lane ${lane} failed: ${event.message || 'it could not be loaded'}`);
    worker.postMessage({ socket, session, lane, token, threads, boot });
    return worker;
  });
}

/** Puts `text` where a person, or WebDriver, finds it. @param {string} text */
function show(text) {
  const status = document.getElementById('status');
  if (status) status.textContent = text;
}

const told = readFragment(location.hash);
show(`${told.session}: ${startLanes(told).length} lanes started`);
