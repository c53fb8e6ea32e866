/**
 * What a Whisper model's generation_config.json and a request's options say about decoding.
 */
import { Fault } from '../faults.js';
import { readCount, readWord } from './choices.js';

/** @typedef {Record<string, any>} Generation generation_config.json */
/**
 * @typedef {object} Rules
 * @property {number[]} ends tokens that end a transcript
 * @property {Set<number>} never tokens that are never chosen
 * @property {Set<number>} notFirst tokens that are not chosen first either
 */

/**
 * @param {Generation} generation
 * @returns {Rules}
 */
export function readRules(generation) {
  const never = new Set(generation.suppress_tokens ?? []);
  return {
    ends: [generation.eos_token_id].flat(),
    never,
    notFirst: new Set([...never, ...(generation.begin_suppress_tokens ?? [])]),
  };
}

/**
 * The language and task asked for; null where the request leaves it open. Raises BadInput for words that the model
 * does not know.
 * @param {Generation} generation
 * @param {Record<string, unknown>} options `language` (a code such as "en") and `task`
 * @returns {{language: string | null, task: string | null}}
 */
export function readChoices(generation, options) {
  const languages = languageIds(generation);
  if (languages.size === 0 && (options.language || options.task)) {
    throw new Fault(
      'BadInput',
      'options.language and options.task',
      'given',
      'left out: this model knows one only',
    );
  }
  const tasks = Object.keys(generation.task_to_id ?? {});
  return {
    language: readWord(options, 'language', [...languages.keys()]),
    task: readWord(options, 'task', tasks),
  };
}

/**
 * Token ids by language code; empty for a model of one language.
 * @param {Generation} generation
 * @returns {Map<string, number>}
 */
export function languageIds(generation) {
  const known = /** @type {[string, number][]} */ (Object.entries(generation.lang_to_id ?? {}));
  return new Map(known.map(([token, id]) => [token.replace(/^<\||\|>$/g, ''), id]));
}

/**
 * The tokens that a transcript starts from: start, language, task, no timestamps; or what the model forces.
 * @param {Generation} generation
 * @param {string | null} language null only for a model of one language
 * @param {string | null} task null: transcribe
 * @returns {number[]}
 */
export function planPrompt(generation, language, task) {
  /** @type {number[]} */
  const prompt = [generation.decoder_start_token_id];
  const spoken = language === null ? undefined : languageIds(generation).get(language);
  const forced = /** @type {[number, number | null][]} */ (generation.forced_decoder_ids ?? []);
  if (spoken !== undefined) prompt.push(spoken, generation.task_to_id?.[task ?? 'transcribe']);
  else prompt.push(...forced.flatMap(([, id]) => (id === null ? [] : [id])));
  const silent = generation.no_timestamps_token_id;
  if (prompt.at(-1) !== silent) prompt.push(silent);
  return prompt.filter((id) => typeof id === 'number');
}

/**
 * How many tokens may be made: what the request asks for, within what the model can hold.
 * @param {Generation} generation
 * @param {Record<string, any>} config config.json
 * @param {number} promptLength
 * @param {Record<string, unknown>} options `max_new_tokens`
 * @returns {number}
 */
export function limitTokens(generation, config, promptLength, options) {
  const lengths = [generation.max_length, config.max_target_positions].filter((length) => length > 0);
  const room = Math.min(...lengths) - promptLength;
  return Math.min(readCount(options, 'max_new_tokens', room), room);
}
