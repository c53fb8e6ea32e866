// RoPE, in place.
//
//   x[i], x[i + n] = x[i] cos[i] - x[i + n] sin[i],  x[i + n] cos[i] + x[i] sin[i]     for i < n
//
// table   float32 [positions][2 n]: cosines, then sines
// step    [tokens] of slot, position, token, unused
// x       float32 [tokens][stride], heads of head_dim numbers at its beginning
//
// An invocation has one pair: dispatch (heads n / 64, tokens).
struct Params {
  pairs: u32,
  heads: u32,
  head_dim: u32,
  stride: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;
@group(0) @binding(2) var<storage, read> step: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.heads * p.pairs) {
    return;
  }
  let i = id.x % p.pairs;
  let at = id.y * p.stride + (id.x / p.pairs) * p.head_dim + i;
  let row = step[id.y].y * 2u * p.pairs + i;
  let c = table[row];
  let s = table[row + p.pairs];
  let a = x[at];
  let b = x[at + p.pairs];
  x[at] = a * c - b * s;
  x[at + p.pairs] = b * c + a * s;
}
