// Attention of one token and one head over its slot's cache: packed blocks, then the exact ring.
//
//   s[t] = sum_d q[d] k[t, d] / sqrt(head_dim),  p = softmax(s),  out[d] = sum_t p[t] v[t, d]
//   k and v: s q + m where t < P(position), fp16 else: ../README.md
//
// step     [tokens] of slot, position, token, unused
// q, out   float32 [tokens][stride], heads of head_dim numbers at its beginning
// cache    a layer's cache in u32; p.slot_words, p.head_words: from slot to slot, from head to head
// scores   float32 [tokens][heads][p.context]
//
// A workgroup of 64 has one token and one head: dispatch (heads, tokens). K_ and V_ are what the cache's layout says of
// keys and of values: bits, rows of a group, places of the ring, where ring and blocks begin in a head, words of a block
// and where its high plane, s and m begin; the last are in p.keys and p.values. halves comes from halves_plain.wgsl or
// halves_f16.wgsl.
struct Side {
  places: u32,
  ring: u32,
  blocks: u32,
  block_words: u32,
  high: u32,
  scales: u32,
  minima: u32,
  group: u32,
}
struct Params {
  heads: u32,
  shared_by: u32,
  head_dim: u32,
  stride: u32,
  slot_words: u32,
  head_words: u32,
  window: u32,
  context: u32,
  keys: Side,
  values: Side,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> cache: array<u32>;
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

override K_BITS: u32 = 3u;
override V_BITS: u32 = 2u;

var<workgroup> shares: array<f32, 64>;

fn half_at(word: u32, index: u32) -> f32 {
  return halves(cache[word + index / 2u])[index % 2u];
}

fn two_halves(word: u32) -> vec2<f32> {
  return halves(cache[word]);
}

// Four neighbouring codes of a row: columns 4 i .. 4 i + 3.
fn codes(bits: u32, block: u32, high: u32, row: u32, groups: u32, i: u32) -> vec4<f32> {
  let unit = (row / 4u) * groups + i / 8u;
  let r = row % 4u;
  let j = i % 8u;
  var four: u32;
  if (bits == 8u) {
    four = cache[block + 32u * unit + 4u * j + r];
  } else {
    let a = j / 4u;
    let plane = j % 4u;
    four = (cache[block + 8u * unit + 4u * a + r] >> (2u * plane)) & 0x03030303u;
    if (bits == 3u) {
      let shift = 4u * (plane >> 1u) + 2u * a + (plane & 1u);
      four |= ((cache[block + high + 4u * unit + r] >> shift) & 0x01010101u) << 2u;
    }
    if (bits == 4u) {
      four |= ((cache[block + high + 8u * unit + 4u * a + r] >> (2u * plane)) & 0x03030303u) << 2u;
    }
  }
  return vec4<f32>((vec4<u32>(four) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u));
}

fn query(at: u32) -> vec4<f32> {
  return vec4<f32>(q[at], q[at + 1u], q[at + 2u], q[at + 3u]);
}

fn packed_score(head: u32, token: u32, query_at: u32) -> f32 {
  let block = head + p.keys.blocks + (token / 64u) * p.keys.block_words;
  let row = token % 64u;
  let start = (row / p.keys.group) * p.head_dim / 2u;
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < p.head_dim / 4u; i++) {
    let at = start + 2u * i;
    let s = vec4<f32>(two_halves(block + p.keys.scales + at), two_halves(block + p.keys.scales + at + 1u));
    let m = vec4<f32>(two_halves(block + p.keys.minima + at), two_halves(block + p.keys.minima + at + 1u));
    sum += (s * codes(K_BITS, block, p.keys.high, row, p.head_dim / 32u, i) + m) * query(query_at + 4u * i);
  }
  return sum.x + sum.y + sum.z + sum.w;
}

fn exact_score(head: u32, token: u32, query_at: u32) -> f32 {
  let at = head + p.keys.ring + (token % p.keys.places) * p.head_dim / 2u;
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < p.head_dim / 4u; i++) {
    sum += vec4<f32>(two_halves(at + 2u * i), two_halves(at + 2u * i + 1u)) * query(query_at + 4u * i);
  }
  return sum.x + sum.y + sum.z + sum.w;
}

// Channel d of the packed values, weighted: tokens before `packed`.
fn packed_value(head: u32, packed: u32, d: u32, score_at: u32) -> f32 {
  var sum = vec4<f32>(0.0);
  for (var i = 0u; i < packed / 4u; i++) {
    let block = head + p.values.blocks + (i / 16u) * p.values.block_words;
    let at = (d / p.values.group) * 32u + 2u * (i % 16u);
    let s = vec4<f32>(two_halves(block + p.values.scales + at), two_halves(block + p.values.scales + at + 1u));
    let m = vec4<f32>(two_halves(block + p.values.minima + at), two_halves(block + p.values.minima + at + 1u));
    let start = score_at + 4u * i;
    let weights = vec4<f32>(scores[start], scores[start + 1u], scores[start + 2u], scores[start + 3u]);
    sum += (s * codes(V_BITS, block, p.values.high, d, 2u, i % 16u) + m) * weights;
  }
  return sum.x + sum.y + sum.z + sum.w;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let at = step[group.y];
  let position = at.y;
  let head = at.x * p.slot_words + (group.x / p.shared_by) * p.head_words;
  let query_at = group.y * p.stride + group.x * p.head_dim;
  let score_at = (group.y * p.heads + group.x) * p.context;
  let boundary = (position / 64u) * 64u;
  let packed = select(0u, boundary - p.window, boundary > p.window);
  let packed_keys = select(packed, 0u, K_BITS == 16u);
  let packed_values = select(packed, 0u, V_BITS == 16u);

  var most = -3.4e38;
  let factor = 1.0 / sqrt(f32(p.head_dim));
  for (var t = lane; t <= position; t += 64u) {
    var score: f32;
    if (t < packed_keys) {
      score = packed_score(head, t, query_at) * factor;
    } else {
      score = exact_score(head, t, query_at) * factor;
    }
    scores[score_at + t] = score;
    most = max(most, score);
  }
  shares[lane] = most;
  workgroupBarrier();
  for (var width = 32u; width > 0u; width /= 2u) {
    if (lane < width) {
      shares[lane] = max(shares[lane], shares[lane + width]);
    }
    workgroupBarrier();
  }
  most = shares[0];
  workgroupBarrier();
  var sum = 0.0;
  for (var t = lane; t <= position; t += 64u) {
    let power = exp(scores[score_at + t] - most);
    scores[score_at + t] = power;
    sum += power;
  }
  shares[lane] = sum;
  workgroupBarrier();
  for (var width = 32u; width > 0u; width /= 2u) {
    if (lane < width) {
      shares[lane] += shares[lane + width];
    }
    workgroupBarrier();
  }
  storageBarrier();
  let total = shares[0];
  for (var d = lane; d < p.head_dim; d += 64u) {
    var value = packed_value(head, packed_values, d, score_at);
    for (var t = packed_values; t <= position; t++) {
      value += scores[score_at + t] * half_at(head + p.values.ring + (t % p.values.places) * p.head_dim / 2u, d);
    }
    out[query_at + d] = value / total;
  }
}
