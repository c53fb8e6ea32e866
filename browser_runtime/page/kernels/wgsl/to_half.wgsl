// to_half(value): the nearest fp16 of a float32 in the low half of a word, ties to even; at most 65504.
// pack2x16float may round either way; this rounds as every other twin of the format does.
fn to_half(value: f32) -> u32 {
  let word = bitcast<u32>(value);
  let sign = (word >> 16u) & 0x8000u;
  let magnitude = word & 0x7fffffffu;
  if (magnitude >= 0x477ff000u) {
    return sign | 0x7bffu;
  }
  if (magnitude >= 0x38800000u) {
    return sign | ((magnitude + 0xc8000fffu + ((magnitude >> 13u) & 1u)) >> 13u);
  }
  return sign | u32(round(bitcast<f32>(magnitude) * 16777216.0));
}
