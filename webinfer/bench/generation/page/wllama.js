// wllama by its own interface: llama.cpp in WebAssembly, which starts its own Workers.

const SILENT = { debug() {}, log() {}, warn() {}, error() {} };

/** @param {{url: string, threads: number, context: number}} options */
export async function openWllama({ url, threads, context }) {
  const { Wllama } = await import('/wllama/esm/index.js');
  const wllama = new Wllama({ default: '/wllama/esm/wasm/wllama.wasm' }, { logger: SILENT });
  const file = await (await fetch(url)).blob();
  const options = { n_ctx: context, n_threads: threads, n_gpu_layers: 0, n_parallel: 1, warmup: true };
  await wllama.loadModel([file], options);
  if (wllama.getNumThreads() !== threads) throw new Error(`wllama took ${wllama.getNumThreads()} threads`);
  return {
    /** @param {number[]} _tokens @param {string} text @param {number} count */
    async run(_tokens, text, count) {
      /** @type {number[]} */
      const times_ms = [];
      let answer = '';
      let usage;
      const start = performance.now();
      await wllama.createCompletion({
        ...{ prompt: text, max_tokens: count, temperature: 0, ignore_eos: true, cache_prompt: false },
        stream: true,
        onData(/** @type {any} */ { choices: [choice], usage: counted, timings }) {
          if (timings) usage = { prompt_tokens: timings.prompt_n };
          usage = counted ?? usage;
          if (choice?.finish_reason) return;
          times_ms.push(performance.now() - start);
          answer += choice?.text ?? '';
        },
      });
      return { times_ms, prompt_tokens: usage?.prompt_tokens, tokens: [], text: answer };
    },
  };
}
