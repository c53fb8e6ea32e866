// RMSNorm: y = x / sqrt(mean(x^2) + eps) * weight.
//
// x, y     float32 [tokens][x_stride], [tokens][y_stride]
// weight   float32 [width]
// picks    [tokens]: which row of x; its own number where all are wanted
//
// A workgroup has `width` numbers of one row: head `z` of it. Dispatch (tokens, 1, heads); heads is 1 for whole rows.
struct Params {
  width: u32,
  x_stride: u32,
  y_stride: u32,
  eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> picks: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<workgroup> squares: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let start = picks[group.x] * p.x_stride + group.z * p.width;
  let to = group.x * p.y_stride + group.z * p.width;
  var sum = 0.0;
  for (var i = lane; i < p.width; i += 64u) {
    sum += x[start + i] * x[start + i];
  }
  squares[lane] = sum;
  workgroupBarrier();
  for (var step = 32u; step > 0u; step /= 2u) {
    if (lane < step) {
      squares[lane] += squares[lane + step];
    }
    workgroupBarrier();
  }
  let factor = 1.0 / sqrt(squares[0] / f32(p.width) + p.eps);
  for (var i = lane; i < p.width; i += 64u) {
    y[to + i] = x[start + i] * factor * weight[i];
  }
}
