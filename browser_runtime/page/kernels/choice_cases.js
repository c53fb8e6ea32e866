/** The cases of what only a backend has that chooses tokens by itself, each beside the page's own choice. */
import { EQUAL_LOGITS, ODD_LOGIT } from '../engines/low_bits/generation.js';
import { findFlaw, Sampler } from '../engines/low_bits/sampler.js';
import { chance, fillRows, flat, step } from './chance_rows.js';
import { time } from './outcomes.js';
import { uniform } from './random.js';

/** @typedef {import('../engines/low_bits/backend.js').Backend} Backend */
/** @typedef {{name: string, kernel: 'choice' | 'no choice', vocab: number}} ChoiceCase */
/** @typedef {import('./outcomes.js').Outcome} Outcome */
/** @typedef {import('./outcomes.js').Timer} Timer */

// Each alone, all together, and what leaves next to nothing.
const SAMPLINGS = [
  {},
  { repetition_penalty: 3 },
  { temperature: 1 },
  { temperature: 2, top_k: 7 },
  { temperature: 0.7, top_p: 0.6 },
  { temperature: 1.5, top_k: 20, top_p: 0.9, repetition_penalty: 1.3 },
  { temperature: 0.01, top_p: 0.999 },
  { temperature: 5, top_k: 1 },
  { temperature: 1, top_p: 0 },
];

/** @param {'choice' | 'no choice'} kernel @param {number} vocab @returns {ChoiceCase} */
const choiceAmong = (kernel, vocab) => ({ name: `${kernel} among ${vocab} tokens`, kernel, vocab });

export const CHOICES = [
  ...[33, 4099, 49152].map((vocab) => choiceAmong('choice', vocab)),
  ...[33, 4099].map((vocab) => choiceAmong('no choice', vocab)),
];

/** @param {Backend} backend @param {ChoiceCase} row @param {Timer} timer */
export const checkChoice = (backend, { vocab }, timer) => {
  const next = uniform(vocab);
  const seen = Array.from({ length: Math.min(vocab, 1000) }, (_, index) => (7 * index) % vocab);
  const rows = SAMPLINGS.map((sampling) => ({ sampling, logits: chance(vocab, next, 3) }));
  return compareChoices(backend, rows, seen, timer);
};

/** Logits of which none, some or all are such that no token follows. @param {number} vocab */
function flawedLogits(vocab) {
  const usual = chance(vocab, uniform(vocab), 3);
  const last = vocab - 1;
  return [
    usual,
    usual.with(last, Number.NaN),
    usual.with(0, Number.NaN),
    usual.with(last, Number.POSITIVE_INFINITY),
    usual.with(0, Number.NEGATIVE_INFINITY),
    usual.map(() => 1.5),
    usual.map(() => 0).with(last, 1e-30),
    usual.map(() => Number.NEGATIVE_INFINITY),
    usual.map(() => Number.NaN),
  ];
}

/** @param {Backend} backend @param {ChoiceCase} row @param {Timer} timer */
export const checkNoChoice = (backend, { vocab }, timer) => {
  const rows = flawedLogits(vocab).map((logits, at) => ({
    sampling: { temperature: at % 2, repetition_penalty: 1.1 },
    logits,
  }));
  return compareChoices(backend, rows, [0, 1], timer);
};

/**
 * @param {Backend} backend
 * @param {{sampling: import('../engines/low_bits/sampler.js').Sampling, logits: Float32Array}[]} rows
 * @param {number[]} seen tokens that were there before
 * @param {Timer} timer
 * @returns {Promise<Outcome>}
 */
async function compareChoices(backend, rows, seen, timer) {
  const n = rows.length;
  const vocab = rows[0]?.logits.length ?? 0;
  const logits = backend.rows(n, vocab);
  const values = Float32Array.from(flat(rows.map((row) => row.logits)));
  const samplers = () => rows.map(({ sampling }, seed) => new Sampler({ ...sampling, seed }, seen));
  const compute = () => {
    backend.begin(step(n));
    fillRows(backend, logits, values, n);
    backend.prepareChoice?.(
      logits,
      samplers().map((sampler) => sampler.lookAhead(1)),
    );
    backend.choose?.(logits, 0);
  };
  const took = await time(timer, compute, async () => backend.chosen?.(1));
  compute();
  const choose = (/** @type {Sampler} */ sampler, /** @type {number} */ at) => {
    const row = values.slice(at * vocab, (at + 1) * vocab);
    const flaw = findFlaw(row);
    if (flaw) return flaw.startsWith('all') ? EQUAL_LOGITS : ODD_LOGIT;
    return sampler.sample(row);
  };
  return {
    got: (await backend.chosen?.(1)) ?? [],
    wanted: samplers().map(choose),
    // The same token or another one.
    tolerances: rows.map(() => 0.5),
    ...took,
    bytes: 4 * n * vocab,
  };
}
