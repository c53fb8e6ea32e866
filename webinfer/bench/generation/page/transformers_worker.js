import { AutoModelForCausalLM, BaseStreamer, env, Tensor } from '/page/vendor/wasm/transformers.js';
import { answer } from './workers.js';

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.useBrowserCache = false;
env.localModelPath = '/';
env.backends.onnx.wasm.wasmPaths = '/page/vendor/wasm/';

/** @type {any} */
let model;

/** The time of each token behind the prompt. */
class Clock extends BaseStreamer {
  /** @param {number} start */
  constructor(start) {
    super();
    this.start = start;
    /** @type {number[]} */
    this.times_ms = [];
    this.isPrompt = true;
  }
  put() {
    if (!this.isPrompt) this.times_ms.push(performance.now() - this.start);
    this.isPrompt = false;
  }
  end() {}
}

/** @param {{folder: string, threads: number}} options */
async function open({ folder, threads }) {
  env.backends.onnx.wasm.numThreads = threads;
  model = await AutoModelForCausalLM.from_pretrained(folder, { dtype: 'q4', device: 'wasm' });
}

/** @param {number[]} tokens @param {number} count */
async function run(tokens, count) {
  const ids = BigInt64Array.from(tokens, BigInt);
  const shape = [1, tokens.length];
  const streamer = new Clock(performance.now());
  const output = await model.generate({
    input_ids: new Tensor('int64', ids, shape),
    attention_mask: new Tensor('int64', new BigInt64Array(tokens.length).fill(1n), shape),
    ...{ max_new_tokens: count, min_new_tokens: count, do_sample: false, streamer },
  });
  const all = Array.from(output.data, Number);
  return {
    times_ms: streamer.times_ms,
    prompt_tokens: tokens.length,
    tokens: all.slice(tokens.length),
    text: '',
  };
}

answer(open, run);
