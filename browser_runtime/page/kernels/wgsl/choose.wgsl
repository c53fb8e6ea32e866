// The next token of each row, which is the next pass's input: so that several passes need one reading back. As
// engines/low_bits/sampler.js chooses it:
//
//   l[n]     = logits[m, n]; of a token that was there before, divided by the penalty, or multiplied where it is below 0
//   T = 0    the first of the largest
//   T > 0    w[n] = exp((l[n] - max) / T); of these the top_k largest; of these the largest that make up top_p of their
//            sum (equals stay together); in the order of the tokens the first at which what was summed up passes
//            chance * sum
//   step[m].position += 1;  step[m].token = token[m];  seen[m] has it from now on
//
// logits     float32 [rows][stride], of which p.vocab are meant; the weights w take their places
// step       [rows] of slot, position, token, unused
// tokens     [passes][rows]; 0xffffffff where a logit is NaN or +infinity, 0xfffffffe where all are equal
// samplings  [rows]; top_k 0 and top_p 1 leave all
// chances    float32 [passes][rows], 0 to 1
// seen       bits [rows][p.words] of the tokens that were there before; not read where the penalty is 1
//
// A workgroup has one row, an invocation neighbouring tokens: dispatch (rows).
struct Params {
  vocab: u32,
  stride: u32,
  first: u32,
  words: u32,
}
struct Sampling {
  temperature: f32,
  top_p: f32,
  penalty: f32,
  top_k: u32,
}
struct Tally {
  count: u32,
  sum: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> step: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(4) var<storage, read> samplings: array<Sampling>;
@group(0) @binding(5) var<storage, read> chances: array<f32>;
@group(0) @binding(6) var<storage, read_write> seen: array<u32>;

// No tokens: engines/low_bits/generation.js knows them.
const ODD_LOGIT = 0xffffffffu;
const EQUAL_LOGITS = 0xfffffffeu;
const LANES = 64u;
const LOWEST = -3.4028234e38;
// The highest bit of 1.0, the largest weight: bits of floats from 0 on are in the order of the floats.
const HIGHEST_BIT = 0x20000000u;
var<workgroup> values: array<f32, LANES>;
var<workgroup> places: array<u32, LANES>;
// What is known of a row's logits: a logit differs from the first; one is NaN or +infinity.
const DIFFERS = 1u;
const ODD = 2u;
const INFINITE = 0x7f800000u;
const MINUS_INFINITY = 0xff800000u;
var<workgroup> flags: array<u32, LANES>;

// The tokens from `begin` to `end` of every lane whose weight's bits are at least `least`: how many, and their sum.
fn tally(least: u32, begin: u32, end: u32, lane: u32) -> Tally {
  var own = Tally(0u, 0.0);
  for (var i = begin; i < end; i++) {
    let weight = logits[i];
    let is_in = bitcast<u32>(weight) >= least;
    own.count += select(0u, 1u, is_in);
    own.sum += select(0.0, weight, is_in);
  }
  workgroupBarrier();
  values[lane] = own.sum;
  places[lane] = own.count;
  workgroupBarrier();
  // Each lane adds up all: a barrier costs more than that where lanes are threads of a processor.
  var all = Tally(0u, 0.0);
  for (var n = 0u; n < LANES; n++) {
    all.count += places[n];
    all.sum += values[n];
  }
  return all;
}

// The bits of the largest weight, at least `floor`, from which on there are `count` tokens that weigh `share` together.
fn find_least(count: u32, share: f32, floor: u32, begin: u32, end: u32, lane: u32) -> u32 {
  var least = 0u;
  for (var bit = HIGHEST_BIT; bit > 0u; bit /= 2u) {
    let found = tally(max(least + bit, floor), begin, end, lane);
    if (found.count >= count && found.sum >= share) {
      least += bit;
    }
  }
  return max(least, floor);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let sampling = samplings[row];
  let start = row * p.stride;
  let span = (p.vocab + LANES - 1u) / LANES;
  let begin = start + min(lane * span, p.vocab);
  let end = start + min((lane + 1u) * span, p.vocab);
  var most = LOWEST;
  var place = 0xffffffffu;
  var flag = 0u;
  let first = logits[start];
  // The penalty changes the first too.
  storageBarrier();
  workgroupBarrier();
  for (var i = begin; i < end; i++) {
    var value = logits[i];
    let token = i - start;
    // By its bits: a compiler may take for granted that there is no NaN.
    let bits = bitcast<u32>(value);
    flag |= select(0u, ODD, (bits & INFINITE) == INFINITE && bits != MINUS_INFINITY);
    flag |= select(0u, DIFFERS, value != first);
    if (sampling.penalty != 1.0 && ((seen[row * p.words + token / 32u] >> (token % 32u)) & 1u) == 1u) {
      value = select(value * sampling.penalty, value / sampling.penalty, value > 0.0);
      logits[i] = value;
    }
    if (value > most) {
      most = value;
      place = token;
    }
  }
  values[lane] = most;
  places[lane] = place;
  flags[lane] = flag;
  workgroupBarrier();
  for (var n = LANES / 2u; n > 0u; n /= 2u) {
    if (lane < n) {
      flags[lane] |= flags[lane + n];
      let other = values[lane + n];
      if (other > values[lane] || (other == values[lane] && places[lane + n] < places[lane])) {
        values[lane] = other;
        places[lane] = places[lane + n];
      }
    }
    workgroupBarrier();
  }
  let largest = values[0];
  var chosen = places[0];
  if (sampling.temperature > 0.0) {
    for (var i = begin; i < end; i++) {
      let value = logits[i];
      logits[i] = select(0.0, exp((value - largest) / sampling.temperature), value <= largest);
    }
    var least = 0u;
    if (sampling.top_k > 0u && sampling.top_k < p.vocab) {
      least = find_least(sampling.top_k, 0.0, 0u, begin, end, lane);
    }
    if (sampling.top_p < 1.0) {
      let total = tally(least, begin, end, lane).sum;
      least = find_least(1u, sampling.top_p * total, least, begin, end, lane);
    }
    var own = 0.0;
    for (var i = begin; i < end; i++) {
      own += select(0.0, logits[i], bitcast<u32>(logits[i]) >= least);
    }
    workgroupBarrier();
    values[lane] = own;
    // The first lane reads the weights of the others.
    storageBarrier();
    workgroupBarrier();
    if (lane == 0u) {
      var total = 0.0;
      for (var n = 0u; n < LANES; n++) {
        total += values[n];
      }
      let wanted = chances[p.first + row] * total;
      var sum = 0.0;
      var n = 0u;
      // Rounding may leave the sum of all just at what is wanted: then it is the last that weighs anything.
      var last = 0u;
      for (; n < LANES; n++) {
        last = select(last, n, values[n] > 0.0);
        if (sum + values[n] > wanted) {
          break;
        }
        sum += values[n];
      }
      let until = start + min((last + 1u) * span, p.vocab);
      if (n == LANES) {
        sum -= values[last];
      }
      for (var i = start + last * span; i < until; i++) {
        let weight = logits[i];
        if (weight > 0.0 && bitcast<u32>(weight) >= least) {
          chosen = i - start;
          sum += weight;
          if (sum > wanted) {
            break;
          }
        }
      }
    }
  }
  if (lane == 0u) {
    let is_flat = flags[0] == 0u && p.vocab > 1u;
    let is_odd = (flags[0] & ODD) != 0u || chosen >= p.vocab;
    tokens[p.first + row] = select(select(chosen, ODD_LOGIT, is_odd), EQUAL_LOGITS, is_flat);
    let next = min(chosen, p.vocab - 1u);
    let at = step[row];
    step[row] = vec4<u32>(at.x, at.y + 1u, next, 0u);
    let word = row * p.words + next / 32u;
    seen[word] |= 1u << (next % 32u);
  }
}
