/** How the next tokens of rows are chosen, as kernels/wgsl/choose.wgsl reads it. Pure. */

/** @typedef {import('./backend.js').RowChoice} RowChoice */

export const SAMPLING_BYTES = 16;

/** @param {RowChoice[]} choices */
export function packSamplings(choices) {
  const packed = new DataView(new ArrayBuffer(SAMPLING_BYTES * choices.length));
  for (const [row, { temperature, topP, penalty, topK }] of choices.entries()) {
    const at = SAMPLING_BYTES * row;
    packed.setFloat32(at, temperature, true);
    packed.setFloat32(at + 4, topP, true);
    packed.setFloat32(at + 8, penalty, true);
    packed.setUint32(at + 12, topK, true);
  }
  return packed.buffer;
}

/** The chances of the first pass row by row, then those of the second. @param {RowChoice[]} choices */
export function packChances(choices) {
  const passes = choices[0]?.chances.length ?? 0;
  return Float32Array.from({ length: passes * choices.length }, (_, index) => {
    const row = index % choices.length;
    return choices[row]?.chances[Math.floor(index / choices.length)] ?? 0;
  });
}

/** A bit for each token that was there before, `words` a row; null where no penalty reads them. @param {RowChoice[]} choices @param {number} words */
export function packSeen(choices, words) {
  if (choices.every(({ penalty }) => penalty === 1)) return null;
  const bits = new Uint8Array(4 * words * choices.length);
  for (const [row, { seen }] of choices.entries()) {
    for (const token of seen) {
      const at = 4 * words * row + (token >>> 3);
      bits[at] = (bits[at] ?? 0) | (1 << (token & 7));
    }
  }
  return bits;
}
