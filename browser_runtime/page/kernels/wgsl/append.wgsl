// The step's keys or values as fp16 into the ring, to nearest, ties to even; at most 65504.
//
// step    [tokens] of slot, position, token, unused
// x       float32 [tokens][stride]
// cache   a layer's cache in u32: ../README.md; p.slot_words, p.head_words: from slot to slot, from head to head;
//         p.first: where this side begins in a head
//
// to_half comes from to_half.wgsl. An invocation has two neighbours of one head: dispatch (kv_heads head_dim / 2 / 64, tokens).
struct Params {
  count: u32,
  stride: u32,
  head_dim: u32,
  places: u32,
  slot_words: u32,
  head_words: u32,
  first: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> cache: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.count) {
    return;
  }
  let half_dim = p.head_dim / 2u;
  let at = step[id.y];
  let start = id.y * p.stride + 2u * id.x;
  let head = at.x * p.slot_words + (id.x / half_dim) * p.head_words + p.first;
  cache[head + (at.y % p.places) * half_dim + id.x % half_dim] = to_half(x[start]) | (to_half(x[start + 1u]) << 16u);
}
