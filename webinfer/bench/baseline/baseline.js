// What people do by hand: transformers.js' pipelines with their defaults, called through execute_async_script.
import { env, pipeline } from '/npm/@huggingface/transformers/dist/transformers.web.min.js';

env.allowRemoteModels = false;
env.allowLocalModels = true;
env.localModelPath = '/models/';
env.backends.onnx.wasm.wasmPaths = '/npm/onnxruntime-web/dist/';

const TASKS = {
  text_embedding: ['feature-extraction', 'sentences-bert', { pooling: 'mean', normalize: true }],
  vision: ['image-classification', 'digits-vit', {}],
  audio: ['automatic-speech-recognition', 'tones-whisper', {}],
};
/** @type {Record<string, Promise<any>>} */
const opened = {};

/** @param {keyof typeof TASKS} family @param {any} input text, image as a data URL, or samples as a list */
async function run(family, input) {
  const [task, model, options] = TASKS[family];
  opened[family] ??= pipeline(/** @type {any} */ (task), model, { dtype: 'fp32' });
  const pipe = await opened[family];
  const output = await pipe(family === 'audio' ? new Float32Array(input) : input, options);
  return family === 'text_embedding' ? Array.from(output.data) : output;
}

/** @type {any} */ (window).baseline = run;
