// What matvec.wgsl and matmul.wgsl share: parameters, bindings, and a packed matrix's codes, scales and minima.
//
// words, numbers   the tensor, twice: its sections as in ../README.md, in vec4<u32> and in u32; p.high in vec4, p.groups
//                  and p.rows in u32
// x, xs            int8 [tokens][64 tiles] in vec4<u32>; float32 [tokens][2 tiles][scale, sum] in vec4, a tile's two
// y                float32 [tokens][4 stride] in vec4: a row block's four rows are one
//
// dot4 comes from dot_packed.wgsl or dot_plain.wgsl, halves from halves_plain.wgsl or halves_f16.wgsl.
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
