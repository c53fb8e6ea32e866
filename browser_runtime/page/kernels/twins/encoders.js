/** The operations of an encoder in plain JavaScript, in float64. */
import { PANEL_ROWS, PANEL_TOKENS } from '../panels.js';

/**
 * Rows as int16 with a scale each, in panels: what widen.wat writes.
 * @param {Float32Array} x [rows][columns]
 * @param {number} columns
 * @param {number} limit
 */
export function widenRows(x, columns, limit) {
  const rows = x.length / columns;
  const codes = new Int16Array(x.length);
  const scales = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const values = x.subarray(row * columns, (row + 1) * columns);
    const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    scales[row] = largest / limit;
    const inverse = largest > 0 ? limit / largest : 0;
    const first = PANEL_TOKENS * Math.floor(row / PANEL_TOKENS);
    const size = Math.min(PANEL_TOKENS, rows - first);
    for (const [column, value] of values.entries()) {
      const at = first * columns + (column >> 1) * 2 * size + 2 * (row - first) + (column & 1);
      codes[at] = Math.round(value * inverse);
    }
  }
  return { codes, scales };
}

/**
 * A panel's number back in its row and column, for rows of weights or of tokens.
 * @param {Int16Array} codes
 * @param {{rows: number, columns: number, panel: number}} sizes
 * @param {number} row
 * @param {number} column
 */
export function readPanel(codes, { rows, columns, panel }, row, column) {
  const first = panel * Math.floor(row / panel);
  const size = Math.min(panel, rows - first);
  return codes[first * columns + (column >> 1) * 2 * size + 2 * (row - first) + (column & 1)] ?? 0;
}

/**
 * Y = X W^T + b of panels: [tokens][rows].
 * @param {{codes: Int16Array, scales: Float32Array}} w
 * @param {{codes: Int16Array, scales: Float32Array}} x
 * @param {Float32Array} biases [rows]
 * @param {number} columns
 */
export function multiplyPanels(w, x, biases, columns) {
  const [rows, tokens] = [w.scales.length, x.scales.length];
  const y = new Float64Array(tokens * rows);
  for (let token = 0; token < tokens; token++) {
    for (let row = 0; row < rows; row++) {
      let sum = 0;
      for (let column = 0; column < columns; column++) {
        const weight = readPanel(w.codes, { rows, columns, panel: PANEL_ROWS }, row, column);
        sum += weight * readPanel(x.codes, { rows: tokens, columns, panel: PANEL_TOKENS }, token, column);
      }
      y[token * rows + row] = sum * (w.scales[row] ?? 0) * (x.scales[token] ?? 0) + (biases[row] ?? 0);
    }
  }
  return y;
}

/**
 * LayerNorm of z, row by row.
 * @param {Float64Array} z
 * @param {Float32Array} weight [width]
 * @param {Float32Array} bias [width]
 * @param {number} eps
 */
export function layerNorm(z, weight, bias, eps) {
  const width = weight.length;
  const mean = (/** @type {Float64Array} */ values) => values.reduce((sum, value) => sum + value, 0) / width;
  return Float64Array.from(z, (value, index) => {
    const row = z.subarray(index - (index % width), index - (index % width) + width);
    const middle = mean(row);
    const scale = 1 / Math.sqrt(mean(row.map((each) => (each - middle) ** 2)) + eps);
    return (value - middle) * scale * (weight[index % width] ?? 0) + (bias[index % width] ?? 0);
  });
}

/** x (1 + erf(x / sqrt 2)) / 2, erf by its series and far out by its limit. @param {number} x */
export function gelu(x) {
  const z = x / Math.SQRT2;
  if (Math.abs(z) > 5) return Math.max(x, 0);
  let [term, sum] = [z, z];
  for (let n = 1; n < 120; n++) {
    term *= (-z * z) / n;
    sum += term / (2 * n + 1);
  }
  return (x / 2) * (1 + (2 / Math.sqrt(Math.PI)) * sum);
}

/**
 * softmax(Q K^T / sqrt(dim)) V of one head: [tokens][dim].
 * @param {Float32Array} q [tokens][dim], and k and v likewise
 * @param {Float32Array} k
 * @param {Float32Array} v
 * @param {number} dim
 */
export function attend(q, k, v, dim) {
  const n = q.length / dim;
  const y = new Float64Array(q.length);
  const dot = (/** @type {number} */ i, /** @type {number} */ j) => {
    let sum = 0;
    for (let d = 0; d < dim; d++) sum += (q[i * dim + d] ?? 0) * (k[j * dim + d] ?? 0);
    return sum / Math.sqrt(dim);
  };
  for (let i = 0; i < n; i++) {
    const scores = Array.from({ length: n }, (_, j) => dot(i, j));
    const powers = scores.map((score) => Math.exp(score - Math.max(...scores)));
    const total = powers.reduce((sum, power) => sum + power, 0);
    for (const [j, power] of powers.entries()) {
      for (let d = 0; d < dim; d++)
        y[i * dim + d] = (y[i * dim + d] ?? 0) + (power / total) * (v[j * dim + d] ?? 0);
    }
  }
  return y;
}
