// y = W x, W of 2, 3, 4 or 8 bits, x of int8: one token.
//
//   y[m, n] = S[n] sum_g cs[n,g] xs[m,g] dot(q, qx[m])  +  M[n] sum_g cm[n,g] sum[m,g]      2, 3, 4 bits
//   y[m, n] = sum_g s[n,g] xs[m,g] dot(q, qx[m])                                            8 bits
//
// words, numbers   the tensor, twice: its sections as in ../README.md, in vec4<u32> and in u32; p.high in vec4, p.groups
//                  and p.rows in u32
// x, xs            int8 [tokens][64 tiles] in vec4<u32>; float32 [tokens][2 tiles][scale, sum] in vec4, a tile's two
// y                float32 [tokens][4 stride] in vec4: a row block's four rows are one
//
// An invocation has one row block.
// rows:   one invocation a row block: dispatch (blocks / 64), the quicker one on software adapters
// split:  SPLIT invocations a row block, each every SPLIT-th tile: dispatch (blocks in x and z)
//
// dot4 comes from dot_packed.wgsl or dot_plain.wgsl, reduce from reduce_workgroup.wgsl or reduce_subgroups.wgsl, halves
// from halves_plain.wgsl or halves_f16.wgsl.
struct Params {
  tiles: u32,
  blocks: u32,
  tokens: u32,
  stride: u32,
  high: u32,
  groups: u32,
  rows: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> numbers: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> xs: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

override BITS: u32 = 2u;

fn dots(q: vec4<u32>, four: u32) -> vec4<i32> {
  return vec4<i32>(dot4(q.x, four), dot4(q.y, four), dot4(q.z, four), dot4(q.w, four));
}

// The codes of four columns of four rows: plane `plane` of word `a` of a tile.
fn codes(a: u32, plane: u32, low: vec4<u32>, high: vec4<u32>) -> vec4<u32> {
  var q = (low >> vec4<u32>(2u * plane)) & vec4<u32>(0x03030303u);
  if (BITS == 3u) {
    let shift = 4u * (plane >> 1u) + 2u * (a & 1u) + (plane & 1u);
    q |= ((high >> vec4<u32>(shift)) & vec4<u32>(0x01010101u)) << vec4<u32>(2u);
  }
  if (BITS == 4u) {
    q |= ((high >> vec4<u32>(2u * plane)) & vec4<u32>(0x03030303u)) << vec4<u32>(2u);
  }
  return q;
}

fn high_word(tile: u32, a: u32) -> vec4<u32> {
  if (BITS == 3u) {
    return words[p.high + 2u * tile + a / 2u];
  }
  if (BITS == 4u) {
    return words[p.high + 4u * tile + a];
  }
  return vec4<u32>(0u);
}

// cs of a tile's group h in the low 6 bits of each row's number, cm in bits 12 to 17.
fn fields(tile: u32, h: u32) -> vec4<u32> {
  let at = p.groups + 3u * tile;
  let a = numbers[at];
  let b = numbers[at + 1u];
  let c = numbers[at + 2u];
  return vec4<u32>(a, (a >> 24u) | (b << 8u), (b >> 16u) | (c << 16u), c >> 8u) >> vec4<u32>(6u * h);
}

fn scales(tile: u32, h: u32) -> vec4<f32> {
  if (BITS == 8u) {
    let at = p.groups + 4u * tile + 2u * h;
    return vec4<f32>(halves(numbers[at]), halves(numbers[at + 1u]));
  }
  return vec4<f32>(fields(tile, h) & vec4<u32>(63u));
}

fn minima(tile: u32, h: u32) -> vec4<f32> {
  return vec4<f32>((fields(tile, h) >> vec4<u32>(12u)) & vec4<u32>(63u));
}

fn finish(block: u32, scaled: vec4<f32>, minimum: vec4<f32>) -> vec4<f32> {
  if (BITS == 8u) {
    return scaled;
  }
  let at = p.rows + 4u * block;
  let s = vec4<f32>(halves(numbers[at]), halves(numbers[at + 1u]));
  let m = vec4<f32>(halves(numbers[at + 2u]), halves(numbers[at + 3u]));
  return s * scaled + m * minimum;
}
var<private> scaled0: vec4<f32>;
var<private> minimum0: vec4<f32>;
var<private> sum0: vec4<i32>;

// Word a of a tile: sixteen columns of four rows, and the vec4 of x that goes with them.
fn add_word(tile: u32, a: u32, x0: u32) {
  let v0 = x[x0 + a];
  if (BITS == 8u) {
    let at = 16u * tile + 4u * a;
    sum0 += dots(words[at + 0u], v0.x);
    sum0 += dots(words[at + 1u], v0.y);
    sum0 += dots(words[at + 2u], v0.z);
    sum0 += dots(words[at + 3u], v0.w);
    return;
  }
  let low = words[4u * tile + a];
  let high = high_word(tile, a);
  let q0 = codes(a, 0u, low, high);
  sum0 += dots(q0, v0.x);
  let q1 = codes(a, 1u, low, high);
  sum0 += dots(q1, v0.y);
  let q2 = codes(a, 2u, low, high);
  sum0 += dots(q2, v0.z);
  let q3 = codes(a, 3u, low, high);
  sum0 += dots(q3, v0.w);
}

// Group h of a tile, scaled; s is the scale and the sum of each token's numbers there.
fn add_group(tile: u32, h: u32, x0: u32, s0: vec2<f32>) {
  sum0 = vec4<i32>(0);
  add_word(tile, 2u * h, x0);
  add_word(tile, 2u * h + 1u, x0);
  let scale = scales(tile, h);
  scaled0 += s0.x * (scale * vec4<f32>(sum0));
  if (BITS != 8u) {
    let m = minima(tile, h);
    minimum0 += m * s0.y;
  }
}

// Tiles first, first + step, ... of a row block.
fn accumulate(block: u32, first: u32, step: u32, token: u32) {
  scaled0 = vec4<f32>(0.0);
  minimum0 = vec4<f32>(0.0);
  let row0 = token * p.tiles;
  for (var j = first; j < p.tiles; j += step) {
    let tile = block * p.tiles + j;
    let x0 = 4u * (row0 + j);
    let s0 = xs[row0 + j];
    add_group(tile, 0u, x0, s0.xy);
    add_group(tile, 1u, x0, s0.zw);
  }
}

fn store(block: u32, token: u32) {
  y[token * p.stride + block] = finish(block, scaled0, minimum0);
}

@compute @workgroup_size(64)
fn rows(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.blocks) {
    return;
  }
  accumulate(id.x, 0u, 1u, 0u);
  store(id.x, 0u);
}

@compute @workgroup_size(SPLIT)
fn split(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let block = group.x + 32768u * group.z;
  accumulate(min(block, p.blocks - 1u), lane, SPLIT, 0u);
  scaled0 = reduce(scaled0, lane);
  minimum0 = reduce(minimum0, lane);
  if (lane == 0u && block < p.blocks) {
    store(block, 0u);
  }
}
