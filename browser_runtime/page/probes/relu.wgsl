// y[j] = max(sum over i of x[i] * w[i * n + j] + b[j], 0)
//
// x  [n]     read   the input vector
// w  [n, n]  read   weights, row-major
// b  [n]     read   bias
// y  [n]     write  the answer
// dispatch: one workgroup; invocation j computes y[j]
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let n = arrayLength(&x);
  let j = id.x;
  var sum = b[j];
  for (var i = 0u; i < n; i++) {
    sum += x[i] * w[i * n + j];
  }
  y[j] = max(sum, 0.0);
}
