/**
 * The small graph that every backend must compute right before it counts: y = relu(x W + b).
 *
 * Whole numbers whose sums stay far below 2048, so that float32 and float16 give them exactly: no tolerance.
 * `relu.onnx` is the same graph with the same numbers, written by make_relu_onnx.py.
 */
export const SIZE = 4;
export const X = Float32Array.of(1, -2, 3, 4);
export const W = Float32Array.from({ length: SIZE * SIZE }, (_, index) => ((index * 5) % 7) - 3);
export const B = Float32Array.of(1, -60, 2, 3);

/**
 * The answer, computed plainly.
 * @returns {Float32Array<ArrayBuffer>}
 */
export function solve() {
  const column = (/** @type {number} */ j) =>
    X.reduce((sum, x, i) => sum + x * (W[i * SIZE + j] ?? Number.NaN), B[j] ?? Number.NaN);
  return Float32Array.from({ length: SIZE }, (_, j) => Math.max(column(j), 0));
}

/**
 * Empty when `numbers` are the answer, else what they are.
 * @param {ArrayLike<number>} numbers
 */
export function disprove(numbers) {
  const wanted = solve();
  const right = numbers.length === SIZE && wanted.every((value, index) => value === numbers[index]);
  return right ? '' : `it computed [${Array.from(numbers)}] where [${Array.from(wanted)}] is right`;
}
