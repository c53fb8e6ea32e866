// The log-mel picture of a sound: a Fourier transform of each frame, a filterbank, a logarithm.
//
//   x[j] = window[j] s[f hop + j - N/2]      s mirrored at both ends of its p.length samples, silent from p.count on
//   X[k] = sum over j of x[j] w^(j k)        w = exp(-2 pi i / N), k = 0 .. N/2
//   m    = sum over k of filter[mel, k] |X[k]|^2
//   y    = p.factor log10(max(m, 1e-10))
//   finish: y = (max(y, t - 8) + 4) / 4      t the largest y of the picture; silence for frames from p.known on
//
// The transform is Cooley and Tukey's, once: N = A B, j = B a + b, k = c + A d, so that
//   X[c + A d] = sum over b of w^(A b d) (w^(b c) sum over a of x[B a + b] w^(B a c))
// The inner sums of c and A - c are conjugate, for x is real: so it is N (A + 2 B) products of real numbers instead of N^2.
// A is the larger, both near the root of N.
//
// samples   float32 [p.count]
// table     float32 [N][4]: the window, the real and the imaginary part of w^j, unused
// ranges    [p.mels]: the first bin of a filter, its number of bins, where its weights begin, unused
// weights   float32
// top       the largest y, as an unsigned number that is ordered as floats are; 0 before the first frame
// features  float32, y of frame f and mel m at p.base + f p.frame_stride + m p.mel_stride
//
// `frames`: a workgroup has a frame; dispatch (p.known). `finish`: dispatch (ceil(p.frames / 64), p.mels).
struct Params {
  count: u32,
  length: u32,
  hop: u32,
  mels: u32,
  known: u32,
  frames: u32,
  base: u32,
  frame_stride: u32,
  mel_stride: u32,
  factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> samples: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> ranges: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read_write> top: atomic<u32>;
@group(0) @binding(6) var<storage, read_write> features: array<f32>;

override N: u32 = 400u;
override A: u32 = 25u;
override B: u32 = 16u;
const LOG10_OF_2 = 0.30102999566398120;
const FLOOR = 1e-10;
const SILENCE = -10.0;

// The samples of a frame; from the second barrier on, the power of its bins.
var<workgroup> wave: array<f32, N>;
var<workgroup> inner: array<vec2<f32>, N>;

fn sample(at: i32) -> f32 {
  let last = i32(p.length) - 1;
  let mirrored = select(abs(at), 2 * last - at, at > last);
  if (mirrored >= i32(p.count) || mirrored < 0) {
    return 0.0;
  }
  return samples[mirrored];
}

fn multiply(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
  return vec2<f32>(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

// Floats in the order of unsigned numbers.
fn to_key(value: f32) -> u32 {
  let bits = bitcast<u32>(value);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn from_key(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

@compute @workgroup_size(64)
fn frames(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let start = i32(group.x * p.hop) - i32(N / 2u);
  for (var j = lane; j < N; j += 64u) {
    wave[j] = table[j].x * sample(start + i32(j));
  }
  workgroupBarrier();
  for (var at = lane; at < B * (A / 2u + 1u); at += 64u) {
    let c = at / B;
    let b = at % B;
    var sum = vec2<f32>(0.0, 0.0);
    var turn = 0u;
    for (var a = 0u; a < A; a += 1u) {
      sum += wave[B * a + b] * table[turn].yz;
      turn += B * c;
      turn -= select(0u, N, turn >= N);
    }
    inner[at] = multiply(sum, table[b * c].yz);
    if (c > 0u && c < A - c) {
      inner[(A - c) * B + b] = multiply(vec2<f32>(sum.x, -sum.y), table[b * (A - c)].yz);
    }
  }
  workgroupBarrier();
  for (var bin = lane; bin <= N / 2u; bin += 64u) {
    let c = bin % A;
    let step = bin - c;
    var sum = vec2<f32>(0.0, 0.0);
    var turn = 0u;
    for (var b = 0u; b < B; b += 1u) {
      sum += multiply(inner[c * B + b], table[turn].yz);
      turn += step;
      turn -= select(0u, N, turn >= N);
    }
    wave[bin] = dot(sum, sum);
  }
  workgroupBarrier();
  var largest = 0u;
  for (var mel = lane; mel < p.mels; mel += 64u) {
    let range = ranges[mel];
    var sum = 0.0;
    for (var i = 0u; i < range.y; i += 1u) {
      sum += weights[range.z + i] * wave[range.x + i];
    }
    let value = p.factor * LOG10_OF_2 * log2(max(sum, FLOOR));
    features[p.base + group.x * p.frame_stride + mel * p.mel_stride] = value;
    largest = max(largest, to_key(value));
  }
  atomicMax(&top, largest);
}

@compute @workgroup_size(64)
fn finish(@builtin(global_invocation_id) at: vec3<u32>) {
  if (at.x >= p.frames) {
    return;
  }
  let place = p.base + at.x * p.frame_stride + at.y * p.mel_stride;
  let value = select(p.factor * SILENCE, features[place], at.x < p.known);
  features[place] = (max(value, from_key(atomicLoad(&top)) - 8.0) + 4.0) / 4.0;
}
