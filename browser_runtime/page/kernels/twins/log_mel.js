/** The log-mel picture in plain JavaScript: the transform as it is defined, in float64. */

/** @typedef {import('../../engines/log_mel.js').Plan} Plan */

const FLOOR = 1e-10;

/**
 * The features, and how far a sum in float32 may take each: `low` and `high`, all [frames * mels] as the plan orders them.
 *
 * Every number of a bin is rounded at most A + B + 10 times on its way (its products, its sums, its roots of unity), each
 * time by u of at most the sum of the frame's sizes.
 * @param {Float32Array} samples
 * @param {Plan} plan
 * @param {number} roundings
 */
export function logMel(samples, plan, roundings) {
  const { points, hop, frames, decibels } = plan;
  const mels = plan.filters.length;
  const u = 2 ** -24;
  const factor = decibels ? 10 : 1;
  const found = {
    values: new Float64Array(frames * mels),
    low: new Float64Array(0),
    high: new Float64Array(0),
  };
  found.low = found.values.slice();
  found.high = found.values.slice();
  for (let frame = 0; frame < frames; frame++) {
    const wave = Array.from(plan.window, (w, j) => w * sampleAt(samples, plan, frame * hop + j - points / 2));
    const off = roundings * u * wave.reduce((sum, x) => sum + Math.abs(x), 0);
    const sizes = transform(wave);
    for (const [mel, filter] of plan.filters.entries()) {
      let power = 0;
      let error = 0;
      for (const [bin, weight] of Array.from(filter).entries()) {
        const size = sizes[bin] ?? 0;
        power += weight * size ** 2;
        error += weight * (2 * size * off + off ** 2) + filter.length * u * weight * size ** 2;
      }
      const at = decibels ? frame * mels + mel : mel * frames + frame;
      // A logarithm to three units in the last place, and its product.
      const log = (/** @type {number} */ m) => factor * Math.log10(Math.max(m, FLOOR));
      const last = 8 * u * factor * 34;
      found.values[at] = log(power);
      found.low[at] = log(power - error) - last;
      found.high[at] = log(power + error) + last;
    }
  }
  return decibels
    ? found
    : { values: finish(found.values), low: finish(found.low), high: finish(found.high) };
}

/** @param {Float32Array} samples @param {Plan} plan @param {number} at */
function sampleAt(samples, { length }, at) {
  const mirrored = at < 0 ? -at : at >= length ? 2 * (length - 1) - at : at;
  return samples[mirrored] ?? 0;
}

/** The size of each bin, 0 to half. @param {number[]} wave */
function transform(wave) {
  const n = wave.length;
  const cosine = wave.map((_, j) => Math.cos((2 * Math.PI * j) / n));
  const sine = wave.map((_, j) => Math.sin((2 * Math.PI * j) / n));
  return Array.from({ length: n / 2 + 1 }, (_, k) => {
    let [real, imaginary] = [0, 0];
    for (const [j, x] of wave.entries()) {
      real += x * (cosine[(j * k) % n] ?? 0);
      imaginary += x * (sine[(j * k) % n] ?? 0);
    }
    return Math.hypot(real, imaginary);
  });
}

/** @param {Float64Array} values */
function finish(values) {
  const top = values.reduce((most, value) => Math.max(most, value), Number.NEGATIVE_INFINITY);
  return values.map((value) => (Math.max(value, top - 8) + 4) / 4);
}
