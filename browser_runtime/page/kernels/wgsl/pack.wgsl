// A full block of 64 tokens out of the ring into few bits.
//
//   s = fp16((max - min) (1 - 2 CLIP) / (2^BITS - 1)),  m = fp16(min + (max - min) CLIP),
//   q = clamp(round((x - m) / s), 0, 2^BITS - 1), or 0 where s is 0
//
// A block is a matrix of `rows` by `columns` (keys: 64 tokens by channels; values: channels by 64 tokens); a group is
// `group` rows of one column; its layout is in ../README.md.
//
// cache   a layer's cache in u32. Head `z` begins at p.first + z p.head_words; the block's 64 tokens at p.source in it,
//         the packed block at p.target, its high plane, s and m at p.high, p.scales, p.minima from there
// to_half comes from to_half.wgsl.
//
// scales: an invocation has two columns of a group of rows: dispatch (rows / group columns / 2 / 64, 1, kv_heads)
// codes:  then, an invocation has one row of 32 columns: dispatch (rows columns / 32 / 64, 1, kv_heads)
struct Params {
  rows: u32,
  columns: u32,
  group: u32,
  is_keys: u32,
  head_words: u32,
  first: u32,
  source: u32,
  target_block: u32,
  high: u32,
  scales: u32,
  minima: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> cache: array<u32>;

override BITS: u32 = 3u;
// Part of a group's range that is cut off at each end.
override CLIP: f32 = 0.0;

fn half_at(word: u32, index: u32) -> f32 {
  return unpack2x16float(cache[word + index / 2u])[index % 2u];
}

// The fp16 of the ring.
fn value(head: u32, row: u32, column: u32) -> f32 {
  if (p.is_keys == 1u) {
    return half_at(head + p.source, row * p.columns + column);
  }
  return half_at(head + p.source, column * p.rows + row);
}

@compute @workgroup_size(64)
fn scales(@builtin(global_invocation_id) id: vec3<u32>) {
  let pairs = p.columns / 2u;
  if (id.x >= p.rows / p.group * pairs) {
    return;
  }
  let head = p.first + id.z * p.head_words;
  let first_row = (id.x / pairs) * p.group;
  let column = 2u * (id.x % pairs);
  var low = vec2<f32>(65504.0);
  var high = vec2<f32>(-65504.0);
  for (var row = first_row; row < first_row + p.group; row++) {
    let both = vec2<f32>(value(head, row, column), value(head, row, column + 1u));
    low = min(low, both);
    high = max(high, both);
  }
  let span = high - low;
  let s = span * (1.0 - 2.0 * CLIP) / (exp2(f32(BITS)) - 1.0);
  let m = low + span * CLIP;
  let block = head + p.target_block;
  cache[block + p.scales + id.x] = to_half(s.x) | (to_half(s.y) << 16u);
  cache[block + p.minima + id.x] = to_half(m.x) | (to_half(m.y) << 16u);
}

@compute @workgroup_size(64)
fn codes(@builtin(global_invocation_id) id: vec3<u32>) {
  let groups = p.columns / 32u;
  if (id.x >= p.rows * groups) {
    return;
  }
  let head = p.first + id.z * p.head_words;
  let block = head + p.target_block;
  let row = id.x / groups;
  let unit = (row / 4u) * groups + id.x % groups;
  let levels = f32((1u << BITS) - 1u);
  var low = array<u32, 8>();
  var high = array<u32, 2>();
  for (var j = 0u; j < 32u; j++) {
    let column = 32u * (id.x % groups) + j;
    let at = (row / p.group) * p.columns + column;
    let s = half_at(block + p.scales, at);
    let m = half_at(block + p.minima, at);
    var q = 0u;
    if (s > 0.0) {
      q = u32(clamp(round((value(head, row, column) - m) / s), 0.0, levels));
    }
    let a = j / 16u;
    let plane = (j / 4u) % 4u;
    let byte = 8u * (j % 4u);
    if (BITS == 8u) {
      low[j / 4u] |= q << byte;
    } else {
      low[a] |= (q & 3u) << (byte + 2u * plane);
    }
    if (BITS == 3u) {
      high[0] |= (q >> 2u) << (byte + 4u * (plane >> 1u) + 2u * a + (plane & 1u));
    }
    if (BITS == 4u) {
      high[a] |= (q >> 2u) << (byte + 2u * plane);
    }
  }
  let r = row % 4u;
  if (BITS == 8u) {
    for (var i = 0u; i < 8u; i++) {
      cache[block + 32u * unit + 4u * i + r] = low[i];
    }
    return;
  }
  cache[block + 8u * unit + r] = low[0];
  cache[block + 8u * unit + 4u + r] = low[1];
  if (BITS == 3u) {
    cache[block + p.high + 4u * unit + r] = high[0];
  }
  if (BITS == 4u) {
    cache[block + p.high + 8u * unit + r] = high[0];
    cache[block + p.high + 8u * unit + 4u + r] = high[1];
  }
}
