// Y = X W^T, W of fp16 or float32, X of float32.
//
//   y[m, n] = sum_k w[n, k] x[m, k]
//
// w   fp16 or float32 [rows][64 tiles], in vec4<u32>
// x   float32 [tokens][64 tiles], in vec4
// y   float32 [tokens][stride]
//
// An invocation has one output, or one row's outputs for four tokens, for which its weights are read once: dispatch
// (rows / 64, tokens / TOKENS). What lies behind the last token is computed from it again and not stored.
struct Params {
  tiles: u32,
  rows: u32,
  stride: u32,
  tokens: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

override BITS: u32 = 16u;
override TOKENS: u32 = 1u;

// Columns 4 i .. 4 i + 3 of a row.
fn weights(row: u32, i: u32) -> vec4<f32> {
  if (BITS == 32u) {
    return bitcast<vec4<f32>>(w[row * 16u * p.tiles + i]);
  }
  let eight = w[row * 8u * p.tiles + i / 2u];
  let four = select(eight.xy, eight.zw, i % 2u == 1u);
  return vec4<f32>(unpack2x16float(four.x), unpack2x16float(four.y));
}

fn store(row: u32, token: u32, sum: vec4<f32>) {
  if (token < p.tokens) {
    y[token * p.stride + row] = sum.x + sum.y + sum.z + sum.w;
  }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.rows) {
    return;
  }
  let first = id.y * TOKENS;
  let width = 16u * p.tiles;
  let x0 = first * width;
  var sum0 = vec4<f32>(0.0);
  if (TOKENS == 1u) {
    for (var i = 0u; i < width; i++) {
      sum0 += weights(id.x, i) * x[x0 + i];
    }
    store(id.x, first, sum0);
    return;
  }
  let x1 = min(first + 1u, p.tokens - 1u) * width;
  let x2 = min(first + 2u, p.tokens - 1u) * width;
  let x3 = min(first + 3u, p.tokens - 1u) * width;
  var sum1 = vec4<f32>(0.0);
  var sum2 = vec4<f32>(0.0);
  var sum3 = vec4<f32>(0.0);
  for (var i = 0u; i < width; i++) {
    let four = weights(id.x, i);
    sum0 += four * x[x0 + i];
    sum1 += four * x[x1 + i];
    sum2 += four * x[x2 + i];
    sum3 += four * x[x3 + i];
  }
  store(id.x, first, sum0);
  store(id.x, first + 1u, sum1);
  store(id.x, first + 2u, sum2);
  store(id.x, first + 3u, sum3);
}
