/** The language model of fixtures/low_bits.json on WebAssembly, and prompts brought to their end. */
import { readFileSync } from 'node:fs';
import { openModel } from '../../browser_runtime/page/engines/low_bits/model.js';
import { Weights } from '../../browser_runtime/page/engines/low_bits/weights.js';
import { takePart } from '../../browser_runtime/page/engines/parts.js';
import { openWasm } from './wasm_kernels.js';

/** @typedef {import('../../browser_runtime/page/engines/low_bits/model.js').LowBitsModel} LowBitsModel */
/** @typedef {import('../../browser_runtime/page/engines/low_bits/model.js').StepEvent} StepEvent */

// Made by tests/data/make_low_bits_model.py, in NumPy, from the format's description.
export const fixture = JSON.parse(readFileSync(new URL('./fixtures/low_bits.json', import.meta.url), 'utf8'));
export const shard = new Uint8Array(Buffer.from(fixture.shard, 'base64'));
/** The shard in pieces that end anywhere. */
export function* pieces() {
  for (let at = 0; at < shard.length; at += 1001) yield shard.subarray(at, at + 1001);
}

/**
 * A model with weights of its own; what it reads of its files is given.
 * @param {unknown} manifest
 * @param {import('../../browser_runtime/page/engines/low_bits/shards.js').FetchShard} fetchShard
 * @param {import('../../browser_runtime/page/engines/low_bits/backend.js').Backend} backend
 * @param {import('../../browser_runtime/page/engines/low_bits/model.js').ModelOptions} options
 */
export const createModel = async (manifest, fetchShard, backend, options) =>
  openModel(
    await takePart(null, () => Weights.layOut(backend, manifest, options.model)),
    fetchShard,
    options,
  );

/** @param {Partial<import('../../browser_runtime/page/engines/low_bits/model.js').ModelOptions>} [options] */
export const open = async (options = {}) =>
  createModel(fixture.manifest, () => pieces(), await openWasm('relaxed'), {
    model: 'tiny',
    kv: [16, 16],
    context: 256,
    ...options,
  });

/** Steps until nothing runs; every event. @param {LowBitsModel} model */
export async function finish(model) {
  /** @type {StepEvent[]} */
  const events = [];
  while (model.busy) events.push(...(await model.step()));
  return events;
}

/** @param {LowBitsModel} model @param {number[]} tokens @param {number} [maxNewTokens] */
export async function answer(model, tokens, maxNewTokens = 24) {
  const generation = model.open({ tokens, maxNewTokens });
  await finish(model);
  return generation;
}
