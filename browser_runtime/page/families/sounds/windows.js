/**
 * Sound longer than a model's window: cut into overlapping windows, and their tokens joined where they overlap.
 */

// As Hugging Face's pipeline: a sixth of the window on each side is heard twice.
const OVERLAP_SHARE = 1 / 6;

/**
 * Views of at most `size` samples, each overlapping the one before by a sixth of `size`; one view when all fits.
 * @param {Float32Array} samples
 * @param {number} size
 * @returns {Float32Array[]}
 */
export function splitWindows(samples, size) {
  const step = size - Math.round(size * OVERLAP_SHARE);
  const count = Math.max(Math.ceil((samples.length - size) / step), 0) + 1;
  return Array.from({ length: count }, (_, index) => samples.subarray(index * step, index * step + size));
}

/**
 * The tokens of overlapping windows as one sequence: each two laid over each other where most tokens agree, the left
 * half of the overlap from the left window, the rest from the right one, as the ends of a window are heard worst.
 * Windows that agree nowhere follow each other. A window meets only what is left of the one before, so the work grows
 * with the length of the sound and no faster.
 * Source: Hugging Face transformers, _find_longest_common_sequence in tokenization_whisper.py (Apache-2.0).
 * @param {number[][]} windows tokens by window
 * @returns {number[]}
 */
export function joinTokens(windows) {
  /** @type {number[]} */
  const joined = [];
  /** @type {number[]} */
  let left = [];
  for (const right of windows) {
    const { leftCut, rightCut } = findOverlay(left, right);
    joined.push(...left.slice(0, leftCut));
    left = right.slice(rightCut);
  }
  return [...joined, ...left];
}

/**
 * The place where two windows agree best, at which each is cut.
 * @param {number[]} left
 * @param {number[]} right
 */
function findOverlay(left, right) {
  let best = { score: 0, leftCut: left.length, rightCut: 0 };
  for (let shift = 1; shift < left.length + right.length; shift++) {
    const overlay = layOver(left, right, shift);
    // A single token agrees by chance too often.
    if (overlay.matches > 1 && overlay.score > best.score) best = overlay;
  }
  return best;
}

/**
 * The agreement of the last tokens of `left` with the first of `right`, with `right` beginning `shift` before left's end.
 * @param {number[]} left
 * @param {number[]} right
 * @param {number} shift
 */
function layOver(left, right, shift) {
  const leftStart = Math.max(left.length - shift, 0);
  const leftStop = Math.min(left.length, left.length + right.length - shift);
  const rightStart = Math.max(shift - left.length, 0);
  const length = leftStop - leftStart;
  let matches = 0;
  for (let at = 0; at < length; at++) {
    if (left[leftStart + at] === right[rightStart + at]) matches += 1;
  }
  // The second term prefers the longer of two overlays that agree equally well.
  const score = matches / shift + shift / 10000;
  const rightStop = rightStart + length;
  return {
    matches,
    score,
    leftCut: Math.floor((leftStart + leftStop) / 2),
    rightCut: Math.floor((rightStart + rightStop) / 2),
  };
}
