// halves(word): the two fp16 of a word, as float32, by the adapter's own fp16: the same numbers. For devices with
// shader-f16; `enable f16;` stands before it.
fn halves(word: u32) -> vec2<f32> {
  return vec2<f32>(bitcast<vec2<f16>>(word));
}
