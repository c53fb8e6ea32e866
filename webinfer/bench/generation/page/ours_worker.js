import { openDevice } from '/page/engines/devices.js';
import { open } from '/page/families/text_generation.js';
import { answer } from './workers.js';

const GREEDY = { temperature: 0, top_k: 0, top_p: 1, repetition_penalty: 1, seed: 0 };
const item = (/** @type {number[]} */ tokens) => ({
  ids: { data: Int32Array.from(tokens) },
  n_prompt: tokens.length,
});
const choices = (/** @type {number} */ count) => ({
  max_new_tokens: count,
  sampling: GREEDY,
  stop_tokens: [],
});

/** @type {any} */
let family;

async function load(/** @type {{url: string}} */ { url }) {
  const settings = { sample: item([5, 6, 7]), example: choices(8) };
  const limits = { max_batch: 1, max_static_graphs: 1, warm_up_runs: 8, warm_up_ms: 1000 };
  const graphs = { low_bits: { path: 'low_bits.json', weights: {} } };
  const model = { name: 'bench', revision: '', url, graphs, settings, limits };
  const realm = { openDevice };
  family = await open(/** @type {any} */ ({ backend: 'wasm', model, options: {}, realm }));
}

async function run(/** @type {number[]} */ tokens, /** @type {number} */ count) {
  /** @type {number[]} */
  const times_ms = [];
  const start = performance.now();
  const stream = { emit: () => times_ms.push(performance.now() - start), isStopped: () => false };
  const { results } = await family.run([item(tokens)], choices(count), () => false, stream);
  const [{ ok, output, error }] = results;
  if (!ok) throw new Error(error.args.join(' '));
  if (output.reused_tokens > 0) throw new Error(`${output.reused_tokens} tokens came from the cache`);
  return { times_ms, prompt_tokens: output.prompt_tokens, tokens: output.tokens, text: '' };
}

answer(load, run);
