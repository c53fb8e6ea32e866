/**
 * What a request chose among a family's options, checked.
 */
import { Fault } from '../faults.js';

/**
 * The whole number under `name`, or `standard` when it is not given. Raises BadInput naming the option.
 * @param {Record<string, unknown>} options
 * @param {string} name
 * @param {number} standard
 * @returns {number}
 */
export function readCount(options, name, standard) {
  const value = options[name] ?? standard;
  if (typeof value === 'number' && Number.isInteger(value) && value > 0) return value;
  throw new Fault('BadInput', `options.${name}`, JSON.stringify(value), 'a whole number above 0');
}

/**
 * The word under `name`, or null when it is not given. Raises BadInput naming the option and what is allowed.
 * @param {Record<string, unknown>} options
 * @param {string} name
 * @param {readonly string[]} allowed
 * @returns {string | null}
 */
export function readWord(options, name, allowed) {
  const value = options[name] ?? null;
  if (value === null || (typeof value === 'string' && allowed.includes(value))) return value;
  throw new Fault('BadInput', `options.${name}`, JSON.stringify(value), `one of ${allowed.join(', ')}`);
}
