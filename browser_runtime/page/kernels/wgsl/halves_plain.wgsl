// halves(word): the two fp16 of a word, as float32. Needs no feature.
fn halves(word: u32) -> vec2<f32> {
  return unpack2x16float(word);
}
