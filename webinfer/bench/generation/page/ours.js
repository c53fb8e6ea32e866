// Our engine as a lane runs it: its family's module in a Worker.

/** @param {{url: string}} options */
export async function openOurs({ url }) {
  const worker = new Worker(new URL('ours_worker.js', import.meta.url), { type: 'module' });
  const ask = (/** @type {unknown} */ message) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
      worker.onerror = (event) => reject(new Error(event.message));
      worker.postMessage(message);
    });
  await ask({ open: url });
  return {
    /** @param {number[]} tokens @param {string} _text @param {number} count */
    run: (tokens, _text, count) => ask({ tokens, count }),
  };
}
