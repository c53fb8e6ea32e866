// The likeliest token of each row, which is the next pass's input: so that several passes need one reading back.
//
//   token[m] = the first of the largest logits[m, n];  step[m].position += 1;  step[m].token = token[m]
//
// logits   float32 [rows][stride], of which p.vocab are meant
// step     [rows] of slot, position, token, unused
// tokens   [passes][rows]; 0xffffffff where the largest is not finite
//
// A workgroup has one row: dispatch (rows).
struct Params {
  vocab: u32,
  stride: u32,
  first: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> step: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;

const LOWEST = -3.4028234e38;
var<workgroup> values: array<f32, 64>;
var<workgroup> places: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let start = group.x * p.stride;
  var most = LOWEST;
  var place = 0xffffffffu;
  for (var i = lane; i < p.vocab; i += 64u) {
    let value = logits[start + i];
    if (value > most) {
      most = value;
      place = i;
    }
  }
  values[lane] = most;
  places[lane] = place;
  workgroupBarrier();
  for (var n = 32u; n > 0u; n /= 2u) {
    if (lane < n) {
      let other = values[lane + n];
      if (other > values[lane] || (other == values[lane] && places[lane + n] < places[lane])) {
        values[lane] = other;
        places[lane] = places[lane + n];
      }
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let is_finite = values[0] <= -LOWEST;
    tokens[p.first + group.x] = select(0xffffffffu, places[0], is_finite);
    let at = step[group.x];
    step[group.x] = vec4<u32>(at.x, at.y + 1u, min(places[0], p.vocab - 1u), 0u);
  }
}
