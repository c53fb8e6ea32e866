/** fp16 and float32, finite: what the kernels do inside, number by number. */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** fp16 as a number. @param {number} half 16 bits */
export function fromHalf(half) {
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  const magnitude = exponent ? (1024 + mantissa) * 2 ** (exponent - 25) : mantissa * 2 ** -24;
  return half & 0x8000 ? -magnitude : magnitude;
}

/** The nearest fp16, ties to even; at most 65504. @param {number} value @returns {number} 16 bits */
export function toHalf(value) {
  float[0] = value;
  const word = bits[0] ?? 0;
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x477ff000) return sign | 0x7bff;
  if (magnitude >= 0x38800000)
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >>> 13);
  // In steps of 2^-24, the subnormal numbers' distance.
  return sign | roundEven(Math.abs(float[0] ?? 0) * 2 ** 24);
}

/** The nearest integer, ties to even. @param {number} value */
export function roundEven(value) {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
