/**
 * Sounds -> tokens of text: Whisper, decoded greedily with a cache on graphs of our own, so that devices, timings and the
 * memory of every step are in our hand.
 *
 * WebNN takes static shapes only. The encoder has one; the decoder grows by a token a step and branches on its
 * cache, so it runs on WASM beside a WebNN encoder, and every answer says so.
 */

import { detachTensor } from '../engines/device_copies.js';
import { makeFeeds } from './graphs/feeds.js';
import { nameCache } from './graphs/kv_cache.js';
import { GraphSource } from './graphs/model_graphs.js';
import { makeReady } from './graphs/ready.js';
import { holdTensor, NO_RECALL, nameEncoder } from './graphs/recall.js';
import { Stopwatch, settle, stopIfCancelled } from './graphs/results.js';
import { Decoder } from './sounds/decoding.js';
import { FrontEnds, Hearing, holdFeatures, openFrontEnds } from './sounds/front_ends.js';
import { extractLogMel, planLogMel } from './sounds/log_mel.js';
import { makeTone, readSamples, SAMPLE_RATE_HZ } from './sounds/samples.js';
import { joinTokens, splitWindows } from './sounds/windows.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./contract.js').Graph} Graph */
/** @typedef {import('onnxruntime-common').Tensor} Tensor */
/** @typedef {{tokens: number[], start_s: number, duration_s: number}} Window of a sound */
/** @typedef {{tokens: number[], duration_s: number, windows?: Window[]}} Output the worker adds the text, and segments of windows */
/** @typedef {{encoder: Graph, decoder: Graph, name: import('./graphs/recall.js').Encoder}} Graphs */
/**
 * @typedef {object} Settings the worker's plan of the model's files (browser_runtime/families/audio.py)
 * @property {import('./sounds/log_mel.js').Framing & {feature_size: number}} features under transformers.js' names
 * @property {{ends: number[], never: number[], not_first: number[]}} rules
 * @property {Record<string, unknown>} example
 */
/**
 * @typedef {object} Choices of the worker, for one call
 * @property {number[]} before the prompt, up to the language where that is recognised
 * @property {number[]} languages the tokens that it may be; none: nothing is to be recognised
 * @property {number[]} after the rest of the prompt
 * @property {number} max_new_tokens
 * @property {import('./sounds/stamps.js').Stamps} [stamps] where the transcript is to have time stamps
 * @property {boolean | null} [compute_shaders] null: where it was measured to be quicker
 */
/**
 * @typedef {object} Parts what does not compute
 * @property {import('./sounds/log_mel.js').Extractor} extractor transformers.js' log-mel front end
 * @property {import('./sounds/decoding.js').Rules} rules
 */
/** @typedef {import('./graphs/recall.js').Recall} Recall */
/** @typedef {{watch: Stopwatch, isCancelled: () => boolean, choices: Choices, recall: Recall, hearing: Hearing}} Course of one call */

const ENCODED = 'last_hidden_state';
const SPLIT_WARNING =
  'The decoder ran on wasm: webnn takes static shapes only, and the decoder grows by a token a step.';

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<Output>>}
 */
export async function open(opening) {
  const settings = /** @type {Settings} */ (opening.model.settings);
  const parts = await openParts(opening, settings);
  const graphs = await openGraphs(opening, settings);
  const device = await opening.realm.openDevice(graphs.encoder.backend);
  const extract = async (/** @type {Float32Array} */ samples) =>
    (await extractLogMel(parts.extractor, samples)).data;
  const plan = planLogMel(parts.extractor);
  const frontEnds = await openFrontEnds(opening, graphs.encoder, plan, {
    extract,
    fill: (samples) => samples,
    rate: SAMPLE_RATE_HZ,
  });
  const transcriber = new Transcriber(opening.realm.ort, device, parts, graphs, frontEnds);
  return makeReady(opening, transcriber, { item: makeTone(), options: settings.example });
}

/**
 * @param {Opening} opening
 * @param {Settings} settings
 * @returns {Promise<Parts>}
 */
async function openParts({ realm }, { features, rules }) {
  const { WhisperFeatureExtractor } = await realm.openTransformers();
  const extractor = /** @type {any} */ (new WhisperFeatureExtractor({ ...features }));
  const barred = { never: new Set(rules.never), notFirst: new Set([...rules.never, ...rules.not_first]) };
  return { extractor, rules: { ends: rules.ends, ...barred } };
}

/**
 * Both graphs, or none: what was opened is released when the other fails.
 * @param {Opening} opening
 * @param {Settings} settings
 * @returns {Promise<Graphs>}
 */
async function openGraphs(opening, settings) {
  const source = new GraphSource(opening, 'encoder_model');
  const encoder = await openEncoder(opening, settings, source);
  try {
    const name = nameEncoder(opening, source, 'encoder_model');
    return { encoder, decoder: await openDecoder(opening), name };
  } catch (error) {
    await encoder.release();
    throw error;
  }
}

/**
 * @param {Opening} opening
 * @param {Settings} settings
 * @param {GraphSource} source
 */
function openEncoder(opening, { features }, source) {
  const shape = [1, features.feature_size, features.nb_max_frames];
  return source.open({
    shapes: opening.backend === 'webnn' ? { input_features: shape } : undefined,
    keepOnDevice: opening.backend === 'webgpu' ? [ENCODED] : false,
  });
}

/** @param {Opening} opening */
async function openDecoder(opening) {
  const isOnGpu = opening.backend === 'webgpu';
  const source = new GraphSource(opening, 'decoder_model_merged');
  return source.open({
    backend: isOnGpu ? 'webgpu' : 'wasm',
    keepOnDevice: isOnGpu ? nameCache(Object.keys(await source.readShapes())) : false,
  });
}

class Transcriber {
  /**
   * @param {typeof import('onnxruntime-common')} ort
   * @param {import('./contract.js').Device} device the encoder's
   * @param {Parts} parts
   * @param {Graphs} graphs
   * @param {FrontEnds} frontEnds
   */
  constructor(ort, device, parts, { encoder, decoder, name }, frontEnds) {
    this.frontEnds = frontEnds;
    this.ort = ort;
    this.device = device;
    this.parts = parts;
    this.encoder = encoder;
    this.name = name;
    this.decoder = new Decoder(decoder, ort);
  }

  /**
   * @param {unknown[]} sounds
   * @param {Record<string, unknown>} options the worker's choices
   * @param {() => boolean} isCancelled
   * @param {unknown} [_] a stream, which only generated text has
   * @param {Recall} [recall]
   */
  async run(sounds, options, isCancelled, _, recall = NO_RECALL) {
    const choices = /** @type {any} */ (options);
    const hearing = new Hearing(this.frontEnds, choices.compute_shaders);
    const course = { watch: new Stopwatch(), isCancelled, choices, recall, hearing };
    /** @type {import('./contract.js').Result<Output>[]} */
    const results = [];
    for (const [index, sound] of sounds.entries()) {
      await stopIfCancelled(isCancelled);
      results.push(await settle(() => this.#transcribe(readSamples(sound, `sounds[${index}]`), course)));
    }
    return { results, timings: course.watch.timings, ...hearing.report(), details: this.describe() };
  }

  async openGraphs() {
    return [this.encoder, this.decoder.graph];
  }

  async release() {
    this.frontEnds.release();
    for (const graph of await this.openGraphs()) await graph.release();
  }

  /** The backend of each part, with a warning if they differ. */
  describe() {
    const parts = { encoder: this.encoder.backend, decoder: this.decoder.graph.backend };
    const warnings = parts.encoder === parts.decoder ? [] : [SPLIT_WARNING];
    return { parts, warnings, ...this.frontEnds.describe() };
  }

  /**
   * @param {Float32Array} samples
   * @param {Course} course
   * @returns {Promise<Output>}
   */
  async #transcribe(samples, course) {
    /** @type {Window[]} */
    const windows = [];
    for (const window of splitWindows(samples, this.parts.extractor.config.n_samples)) {
      const start_s = (window.byteOffset - samples.byteOffset) / samples.BYTES_PER_ELEMENT / SAMPLE_RATE_HZ;
      const tokens = await this.#decodeWindow(window, course);
      windows.push({ tokens, start_s, duration_s: window.length / SAMPLE_RATE_HZ });
    }
    const tokens = joinTokens(windows.map((window) => window.tokens));
    const output = { tokens, duration_s: samples.length / SAMPLE_RATE_HZ };
    return course.choices.stamps ? { ...output, windows } : output;
  }

  /**
   * @param {Float32Array} window
   * @param {Course} course
   * @returns {Promise<number[]>}
   */
  async #decodeWindow(window, course) {
    const { value: heard, release } = await this.#encode(window, course);
    try {
      const prompt = await this.#planPrompt(heard, course);
      const { max_new_tokens: maxTokens, stamps } = course.choices;
      const task = { heard, prompt, rules: this.parts.rules, maxTokens, stamps };
      return await this.decoder.generate(task, course.watch, course.isCancelled);
    } finally {
      release();
    }
  }

  /**
   * The encoder's output, on the device where the decoder is there too.
   * @param {Float32Array} window
   * @param {Course} course
   * @returns {Promise<import('./graphs/recall.js').Use<Tensor>>}
   */
  async #encode(window, { watch, recall, hearing }) {
    const run = async (/** @type {import('./contract.js').Tensors} */ feeds) => {
      const value = /** @type {Tensor} */ ((await watch.run(this.encoder, feeds))[ENCODED]);
      return [holdTensor(value, () => detachTensor(this.ort, this.device, value))];
    };
    const shader = hearing.takeShader(window.length);
    const [use] = shader
      ? await recall.encode(this.name, [[window, ...this.frontEnds.signature]], async () => {
          const features = await watch.time('preprocess_ms', () => shader.compute([window]));
          hearing.note();
          const dims = [1, shader.mels, shader.plan.frames];
          return run({ input_features: holdFeatures(this.ort, features, dims) });
        })
      : await this.#encodeExtracted(window, watch, recall, run);
    return /** @type {import('./graphs/recall.js').Use<Tensor>} */ (use);
  }

  /**
   * The same of features that transformers.js makes.
   * @param {Float32Array} window
   * @param {Stopwatch} watch
   * @param {Recall} recall
   * @param {(feeds: import('./contract.js').Tensors) => Promise<import('./graphs/recall.js').Made<Tensor>[]>} run
   */
  async #encodeExtracted(window, watch, recall, run) {
    const { data, dims } = await watch.time('preprocess_ms', () =>
      extractLogMel(this.parts.extractor, window),
    );
    return recall.encode(this.name, [[data]], () =>
      run(makeFeeds(this.ort, this.encoder, { input_features: { data, dims } })),
    );
  }

  /**
   * The prompt for what was heard; a language that the request leaves open is recognised by the model.
   * @param {Tensor} heard
   * @param {Course} course
   */
  async #planPrompt(heard, { choices, watch }) {
    const { before, languages, after } = choices;
    if (languages.length === 0) return [...before, ...after];
    return [...before, await this.decoder.pick(heard, before, languages, watch), ...after];
  }
}
