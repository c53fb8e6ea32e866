// An engine in a Worker: asked one thing at a time.

/** @param {string} script @param {unknown} options */
export async function openWorker(script, options) {
  const worker = new Worker(new URL(script, import.meta.url), { type: 'module' });
  const ask = (/** @type {unknown} */ message) =>
    new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
      worker.onerror = (event) => reject(new Error(event.message));
      worker.postMessage(message);
    });
  await ask({ open: options });
  return {
    /** @param {number[]} tokens @param {string} _text @param {number} count */
    run: (tokens, _text, count) => ask({ tokens, count }),
  };
}

/**
 * In the Worker: answers what `openWorker` asks.
 * @param {(options: any) => Promise<void>} open
 * @param {(tokens: number[], count: number) => Promise<unknown>} run
 */
export function answer(open, run) {
  onmessage = async ({ data }) => {
    try {
      postMessage(data.open ? ((await open(data.open)) ?? {}) : await run(data.tokens, data.count));
    } catch (error) {
      postMessage({ error: error.message ?? String(error) });
    }
  };
}
