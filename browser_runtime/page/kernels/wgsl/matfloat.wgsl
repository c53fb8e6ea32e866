// Y = X W^T, W of fp16 or float32, X of float32.
//
//   y[m, n] = sum_k w[n, k] x[m, k]
//
// w   fp16 or float32 [rows][64 tiles], in vec4<u32>
// x   float32 [tokens][64 tiles], in vec4
// y   float32 [tokens][stride]
//
// An invocation has one output: dispatch (rows / 64, tokens).
struct Params {
  tiles: u32,
  rows: u32,
  stride: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override BITS: u32 = 16u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.rows) {
    return;
  }
  let base = id.y * 16u * p.tiles;
  var sum = vec4<f32>(0.0);
  if (BITS == 32u) {
    for (var i = 0u; i < 16u * p.tiles; i++) {
      sum += bitcast<vec4<f32>>(w[id.x * 16u * p.tiles + i]) * x[base + i];
    }
  } else {
    for (var i = 0u; i < 8u * p.tiles; i++) {
      let eight = w[id.x * 8u * p.tiles + i];
      sum += vec4<f32>(unpack2x16float(eight.x), unpack2x16float(eight.y)) * x[base + 2u * i];
      sum += vec4<f32>(unpack2x16float(eight.z), unpack2x16float(eight.w)) * x[base + 2u * i + 1u];
    }
  }
  y[id.y * p.stride + id.x] = sum.x + sum.y + sum.z + sum.w;
}
