// transformers.js in Node, on onnxruntime-node: no browser.
import { readFile } from 'node:fs/promises';
import { env, pipeline, RawImage } from '@huggingface/transformers';

let pipes;

export async function start({ models }) {
  env.allowRemoteModels = false;
  env.localModelPath = models;
  pipes = {
    text: await pipeline('feature-extraction', 'sentences-bert', { dtype: 'fp32' }),
    image: await pipeline('image-classification', 'digits-vit', { dtype: 'fp32' }),
    sound: await pipeline('automatic-speech-recognition', 'tones-whisper', { dtype: 'fp32' }),
  };
}

// Node decodes no sounds: 16-bit samples behind the header of a WAV file.
async function readSamples(path) {
  const bytes = await readFile(path);
  return Float32Array.from(new Int16Array(bytes.buffer, bytes.byteOffset + 44), (sample) => sample / 32768);
}

export async function answer(kind, item) {
  if (kind === 'text') return [...(await pipes.text(item, { pooling: 'mean', normalize: true })).data];
  if (kind === 'image') return (await pipes.image(await RawImage.read(item)))[0].label;
  return (await pipes.sound(await readSamples(item))).text;
}

export async function stop() {}
