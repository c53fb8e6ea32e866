// The row of a matrix that each token of a step names, as float32.
//
//   x[m, k] = w[token[m], k]
//
// w      the tensor, its sections as in ../README.md, in u32; p.high, p.groups, p.rows in u32
// step   [tokens] of slot, position, token, unused
// x      float32 [tokens][64 tiles]; columns from p.columns on stay 0
//
// An invocation has one number: dispatch (64 tiles / 64, tokens).
struct Params {
  tiles: u32,
  columns: u32,
  high: u32,
  groups: u32,
  rows: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<u32>;
@group(0) @binding(2) var<storage, read> step: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

override BITS: u32 = 8u;

fn half_at(section: u32, index: u32) -> f32 {
  return unpack2x16float(w[section + index / 2u])[index % 2u];
}

fn packed(row: u32, column: u32) -> f32 {
  let tile = (row / 4u) * p.tiles + column / 64u;
  let r = row % 4u;
  let j = column % 64u;
  let h = j / 32u;
  let byte = 8u * (j % 4u);
  if (BITS == 8u) {
    let code = extractBits(i32(w[64u * tile + 4u * (j / 4u) + r]), byte, 8u);
    return f32(code) * half_at(p.groups, 8u * tile + 4u * h + r);
  }
  let a = j / 16u;
  let plane = (j / 4u) % 4u;
  var code = extractBits(w[16u * tile + 4u * a + r], byte + 2u * plane, 2u);
  if (BITS == 3u) {
    let shift = 4u * (plane >> 1u) + 2u * (a % 2u) + (plane & 1u);
    code |= extractBits(w[p.high + 8u * tile + 4u * h + r], byte + shift, 1u) << 2u;
  }
  if (BITS == 4u) {
    code |= extractBits(w[p.high + 16u * tile + 4u * a + r], byte + 2u * plane, 2u) << 2u;
  }
  let at = p.groups + 3u * tile;
  let first = 24u * r;
  let word = at + first / 32u;
  let shift = first % 32u;
  // Row r's 24 bits begin `shift` bits into their word, and reach into the next where that is above 8.
  var fields = w[word] >> shift;
  if (shift > 8u) {
    fields |= w[word + 1u] << (32u - shift);
  }
  fields = fields >> (6u * h);
  let scale = half_at(p.rows, 8u * (row / 4u) + r) * f32(fields & 63u);
  let minimum = half_at(p.rows, 8u * (row / 4u) + 4u + r) * f32((fields >> 12u) & 63u);
  return scale * f32(code) + minimum;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = step[id.y].z;
  let stride = 64u * p.tiles;
  if (id.x >= p.columns) {
    return;
  }
  var value: f32;
  if (BITS == 32u) {
    value = bitcast<f32>(w[row * stride + id.x]);
  } else if (BITS == 16u) {
    value = half_at(0u, row * stride + id.x);
  } else {
    value = packed(row, id.x);
  }
  x[id.y * stride + id.x] = value;
}
