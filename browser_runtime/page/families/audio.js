/**
 * Sounds -> text: Whisper, decoded greedily with a cache on graphs of our own, so that devices, timings and the
 * memory of every step are in our hand.
 *
 * WebNN takes static shapes only. The encoder has one; the decoder grows by a token a step and branches on its
 * cache, so it runs on WASM beside a WebNN encoder, and every answer says so.
 */
import { Decoder } from './decoding.js';
import { floatTensor } from './floats.js';
import { nameCache } from './kv_cache.js';
import { extractLogMel } from './log_mel.js';
import { fetchJson, findFolder } from './model_files.js';
import { openModelGraph } from './model_graphs.js';
import { languageIds, limitTokens, planPrompt, readChoices, readRules } from './prompting.js';
import { makeReady } from './ready.js';
import { Stopwatch, settle, stopIfCancelled } from './results.js';
import { makeTone, readSamples, SAMPLE_RATE_HZ } from './sounds.js';
import { joinTokens, splitWindows } from './windows.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./contract.js').Graph} Graph */
/** @typedef {import('onnxruntime-common').Tensor} Tensor */
/** @typedef {{text: string, tokens: number[], duration_s: number}} Output */
/** @typedef {{encoder: Graph, decoder: Graph}} Graphs */
/**
 * @typedef {object} Parts what does not compute
 * @property {import('./log_mel.js').Extractor} extractor transformers.js' log-mel front end
 * @property {any} tokenizer
 * @property {Record<string, any>} config
 * @property {Record<string, any>} generation
 */
/** @typedef {{watch: Stopwatch, isCancelled: () => boolean, options: Record<string, unknown>}} Course of one call */

const ENCODED = 'last_hidden_state';
// Ten runs are the fewest that can show a steady state; two tokens run both branches of the decoder.
const WARM_UP = { maxRuns: 20, maxMs: 3000 };
const WARM_UP_TOKENS = 2;
const SPLIT_WARNING =
  'The decoder ran on wasm: webnn takes static shapes only, and the decoder grows by a token a step.';

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<Output>>}
 */
export async function open(opening) {
  const parts = await openParts(opening);
  const graphs = await openGraphs(opening, parts.config);
  const transcriber = new Transcriber(opening.realm.ort, parts, graphs);
  const options = { max_new_tokens: WARM_UP_TOKENS, ...anyLanguage(parts.generation) };
  return makeReady(opening, transcriber, { item: makeTone(), options, limits: WARM_UP });
}

/**
 * @param {Opening} opening
 * @returns {Promise<Parts>}
 */
async function openParts({ model, realm }) {
  const { AutoFeatureExtractor, AutoTokenizer } = await realm.openTransformers();
  const local = { local_files_only: true };
  const [extractor, tokenizer, config, generation] = await Promise.all([
    AutoFeatureExtractor.from_pretrained(findFolder(model), local),
    AutoTokenizer.from_pretrained(findFolder(model), local),
    fetchJson(model, 'config.json'),
    fetchJson(model, 'generation_config.json'),
  ]);
  return { extractor, tokenizer, config, generation };
}

/**
 * Both graphs, or none: what was opened is released when the other fails.
 * @param {Opening} opening
 * @param {Record<string, any>} config
 * @returns {Promise<Graphs>}
 */
async function openGraphs(opening, config) {
  const encoder = await openEncoder(opening, config);
  try {
    return { encoder, decoder: await openDecoder(opening, config) };
  } catch (error) {
    await encoder.release();
    throw error;
  }
}

/**
 * @param {Opening} opening
 * @param {Record<string, any>} config
 */
function openEncoder(opening, config) {
  // Two frames for each position: the encoder's second convolution has stride two.
  const shape = [1, config.num_mel_bins, config.max_source_positions * 2];
  return openModelGraph(opening, {
    stem: 'encoder_model',
    shapes: opening.backend === 'webnn' ? { input_features: shape } : undefined,
    keepOnDevice: opening.backend === 'webgpu' ? [ENCODED] : false,
  });
}

/**
 * @param {Opening} opening
 * @param {Record<string, any>} config
 */
function openDecoder(opening, config) {
  const isOnGpu = opening.backend === 'webgpu';
  return openModelGraph(opening, {
    stem: 'decoder_model_merged',
    backend: isOnGpu ? 'webgpu' : 'wasm',
    keepOnDevice: isOnGpu ? nameCache(config.decoder_layers) : false,
  });
}

/**
 * A language given, so that warming up spends no step on recognising one.
 * @param {Record<string, any>} generation
 */
function anyLanguage(generation) {
  const [language] = languageIds(generation).keys();
  return language === undefined ? {} : { language };
}

class Transcriber {
  /**
   * @param {typeof import('onnxruntime-common')} ort
   * @param {Parts} parts
   * @param {Graphs} graphs
   */
  constructor(ort, parts, { encoder, decoder }) {
    this.ort = ort;
    this.parts = parts;
    this.rules = readRules(parts.generation);
    this.encoder = encoder;
    this.decoder = new Decoder(decoder, ort);
  }

  /**
   * @param {unknown[]} sounds
   * @param {Record<string, unknown>} options `language`, `task`, `max_new_tokens`
   * @param {() => boolean} isCancelled
   */
  async run(sounds, options, isCancelled) {
    const course = { watch: new Stopwatch(), isCancelled, options };
    // Wrong options are the whole call's fault, and found before anything is computed.
    readChoices(this.parts.generation, options);
    limitTokens(this.parts.generation, this.parts.config, 0, options);
    /** @type {import('./contract.js').Result<Output>[]} */
    const results = [];
    for (const [index, sound] of sounds.entries()) {
      stopIfCancelled(isCancelled);
      results.push(await settle(() => this.#transcribe(readSamples(sound, `sounds[${index}]`), course)));
    }
    return { results, timings: course.watch.timings, details: this.describe() };
  }

  async openGraphs() {
    return [this.encoder, this.decoder.graph];
  }

  async release() {
    for (const graph of await this.openGraphs()) await graph.release();
  }

  /** Which part computes where, and what a reader must be told of it. */
  describe() {
    const parts = { encoder: this.encoder.backend, decoder: this.decoder.graph.backend };
    return { parts, warnings: parts.encoder === parts.decoder ? [] : [SPLIT_WARNING] };
  }

  /**
   * @param {Float32Array} samples
   * @param {Course} course
   * @returns {Promise<Output>}
   */
  async #transcribe(samples, course) {
    /** @type {number[]} */
    let tokens = [];
    for (const window of splitWindows(samples, this.parts.extractor.config.n_samples)) {
      tokens = joinTokens(tokens, await this.#decodeWindow(window, course));
    }
    // Silence has no tokens and its text is empty; transformers.js refuses to decode an empty list.
    const decode = () =>
      tokens.length === 0 ? '' : this.parts.tokenizer.decode(tokens, { skip_special_tokens: true }).trim();
    const text = await course.watch.time('postprocess_ms', decode);
    return { text, tokens, duration_s: samples.length / SAMPLE_RATE_HZ };
  }

  /**
   * @param {Float32Array} window
   * @param {Course} course
   * @returns {Promise<number[]>}
   */
  async #decodeWindow(window, course) {
    const heard = await this.#encode(window, course);
    try {
      const prompt = await this.#planPrompt(heard, course);
      const { generation, config } = this.parts;
      const maxTokens = limitTokens(generation, config, prompt.length, course.options);
      const task = { heard, prompt, rules: this.rules, maxTokens };
      return await this.decoder.generate(task, course.watch, course.isCancelled);
    } finally {
      heard.dispose();
    }
  }

  /**
   * The encoder's output, on the device where the decoder is there too.
   * @param {Float32Array} window
   * @param {Course} course
   * @returns {Promise<Tensor>}
   */
  async #encode(window, { watch }) {
    const { data, dims } = await watch.time('preprocess_ms', () =>
      extractLogMel(this.parts.extractor, window),
    );
    const [input] = this.encoder.inputMetadata;
    const type = input?.isTensor ? input.type : 'float32';
    const outputs = await watch.run(this.encoder, {
      input_features: floatTensor(this.ort, type, data, dims),
    });
    return /** @type {Tensor} */ (outputs[ENCODED]);
  }

  /**
   * The prompt for what was heard; a language that the request leaves open is recognised by the model.
   * @param {Tensor} heard
   * @param {Course} course
   */
  async #planPrompt(heard, { options, watch }) {
    const { generation } = this.parts;
    const { language, task } = readChoices(generation, options);
    const known = languageIds(generation);
    if (language !== null || known.size === 0) return planPrompt(generation, language, task);
    const start = [generation.decoder_start_token_id];
    const id = await this.decoder.pick(heard, start, [...known.values()], watch);
    const recognised = [...known].find(([, candidate]) => candidate === id)?.[0] ?? null;
    return planPrompt(generation, recognised, task);
  }
}
