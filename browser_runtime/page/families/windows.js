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
 * The tokens of two overlapping windows as one sequence: laid over each other where most tokens agree, the left
 * half of the overlap from the left window, the rest from the right one, as the ends of a window are heard worst.
 * Windows that agree nowhere follow each other.
 * Source: Hugging Face transformers, _find_longest_common_sequence in tokenization_whisper.py (Apache-2.0).
 * @param {number[]} left
 * @param {number[]} right
 * @returns {number[]}
 */
export function joinTokens(left, right) {
  let best = { score: 0, leftCut: left.length, rightCut: 0 };
  for (let shift = 1; shift < left.length + right.length; shift++) {
    const overlay = layOver(left, right, shift);
    // A single token agrees by chance too often.
    if (overlay.matches > 1 && overlay.score > best.score) best = overlay;
  }
  return [...left.slice(0, best.leftCut), ...right.slice(best.rightCut)];
}

/**
 * How well the last tokens of `left` agree with the first of `right`, `right` beginning `shift` before left's end.
 * @param {number[]} left
 * @param {number[]} right
 * @param {number} shift
 */
function layOver(left, right, shift) {
  const leftStart = Math.max(left.length - shift, 0);
  const rightStart = Math.max(shift - left.length, 0);
  const length = Math.min(left.length - leftStart, right.length - rightStart);
  const half = Math.floor(length / 2);
  let matches = 0;
  for (let at = 0; at < length; at++) {
    if (left[leftStart + at] === right[rightStart + at]) matches += 1;
  }
  // The second term prefers the longer of two overlays that agree equally well.
  const score = matches / length + length / 10000;
  return { matches, score, leftCut: leftStart + half, rightCut: rightStart + half };
}
