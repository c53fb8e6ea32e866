// silu: y = y / (1 + e^-y) * x. add: y = y + x. bias: y = y + x, the same x for each row.
//
// x, y   float32 [count] in vec4; bias: x has `width` vec4
//
// An invocation has four numbers: dispatch (count / 4 / 64).
struct Params {
  count: u32,
  width: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn silu(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < p.count) {
    // Above e^88 there is no float32: such a gate gives 0 all the same.
    y[id.x] = y[id.x] / (1.0 + exp(min(-y[id.x], vec4<f32>(88.0)))) * x[id.x];
  }
}

@compute @workgroup_size(64)
fn add(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < p.count) {
    y[id.x] += x[id.x];
  }
}

@compute @workgroup_size(64)
fn bias(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < p.count) {
    y[id.x] += x[id.x % p.width];
  }
}
