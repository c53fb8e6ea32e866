// RMSNorm of each head, in place: x = x / sqrt(mean(x^2) + eps) * weight.
//
// x        float32 [tokens][stride], heads of `width` numbers at its beginning
// weight   float32 [width]
//
// An invocation has one head: dispatch (tokens heads / 64).
struct Params {
  width: u32,
  stride: u32,
  heads: u32,
  tokens: u32,
  eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.tokens * p.heads) {
    return;
  }
  let at = (id.x / p.heads) * p.stride + (id.x % p.heads) * p.width;
  var sum = 0.0;
  for (var i = 0u; i < p.width; i++) {
    sum += x[at + i] * x[at + i];
  }
  let factor = 1.0 / sqrt(sum / f32(p.width) + p.eps);
  for (var i = 0u; i < p.width; i++) {
    x[at + i] = x[at + i] * factor * weight[i];
  }
}
