/** The operations between the matrices in plain JavaScript, in float64 where the kernels have float32. */

/**
 * RMSNorm of each row.
 * @param {ArrayLike<number>} x [rows][width]
 * @param {ArrayLike<number>} weight [width]
 * @param {number} eps
 */
export function norm(x, weight, eps) {
  const width = weight.length;
  const y = new Float64Array(x.length);
  for (let base = 0; base < x.length; base += width) {
    let squares = 0;
    for (let i = 0; i < width; i++) squares += (x[base + i] ?? 0) ** 2;
    const factor = 1 / Math.sqrt(squares / width + eps);
    for (let i = 0; i < width; i++) y[base + i] = (x[base + i] ?? 0) * factor * (weight[i] ?? 0);
  }
  return y;
}

/**
 * Cosines and sines of each position: float32 [positions][2 n].
 * @param {readonly number[]} frequencies [n]
 * @param {number} factor the cosines and sines are multiplied by it
 * @param {number} positions
 */
export function ropeTable(frequencies, factor, positions) {
  const n = frequencies.length;
  const table = new Float32Array(positions * 2 * n);
  for (let position = 0; position < positions; position++) {
    for (const [i, frequency] of frequencies.entries()) {
      table[position * 2 * n + i] = Math.cos(position * frequency) * factor;
      table[position * 2 * n + n + i] = Math.sin(position * frequency) * factor;
    }
  }
  return table;
}

/**
 * RoPE on the heads of one token.
 * @param {ArrayLike<number>} x [heads][headDim]
 * @param {number} headDim
 * @param {ArrayLike<number>} table [2 n] of this position
 */
export function rope(x, headDim, table) {
  const n = table.length / 2;
  const y = Float64Array.from(x);
  for (let base = 0; base < x.length; base += headDim) {
    for (let i = 0; i < n; i++) {
      const [a, b] = [x[base + i] ?? 0, x[base + i + n] ?? 0];
      const [c, s] = [table[i] ?? 0, table[i + n] ?? 0];
      y[base + i] = a * c - b * s;
      y[base + i + n] = b * c + a * s;
    }
  }
  return y;
}

/** SwiGLU. @param {ArrayLike<number>} gate @param {ArrayLike<number>} up */
export const silu = (gate, up) =>
  Float64Array.from(gate, (value, index) => (value / (1 + Math.exp(-value))) * (up[index] ?? 0));

/** @param {ArrayLike<number>} scores @param {number} factor */
export function softmax(scores, factor) {
  const largest = Array.from(scores).reduce((most, score) => Math.max(most, score), -Infinity);
  const powers = Float64Array.from(scores, (score) => Math.exp(factor * (score - largest)));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
