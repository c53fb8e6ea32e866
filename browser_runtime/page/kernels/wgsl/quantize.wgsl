// Activations of int8, one scale a group of 32.
//
//   a = max |x|,  xs = a / 127,  qx = round(x (127 / a)),  sum = xs * (sum of qx)
//
// x        float32 [32 count] in vec4, padding included
// codes    int8 [32 count] in u32
// scales   float32 [count][scale, sum]
//
// An invocation has one group: dispatch (count / 64).
struct Params {
  count: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> codes: array<u32>;
@group(0) @binding(3) var<storage, read_write> scales: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.count) {
    return;
  }
  var most = vec4<f32>(0.0);
  for (var i = 0u; i < 8u; i++) {
    most = max(most, abs(x[8u * id.x + i]));
  }
  let largest = max(max(most.x, most.y), max(most.z, most.w));
  var inverse = 0.0;
  if (largest > 0.0) {
    inverse = 127.0 / largest;
  }
  var sum = vec4<i32>(0);
  for (var i = 0u; i < 8u; i++) {
    let q = vec4<i32>(round(x[8u * id.x + i] * inverse));
    sum += q;
    let bytes = vec4<u32>(q) & vec4<u32>(255u);
    codes[8u * id.x + i] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
  }
  let scale = largest / 127.0;
  scales[id.x] = vec2<f32>(scale, scale * f32(sum.x + sum.y + sum.z + sum.w));
}
