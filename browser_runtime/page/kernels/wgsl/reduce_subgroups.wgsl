// reduce(value, lane): the sum of `value` over the SPLIT invocations of a workgroup, in the first of them at least. Sums
// of subgroups first, so that the workgroup's memory and barriers are needed once. `enable subgroups;` stands before it.
override SPLIT: u32 = 32u;
var<workgroup> shares: array<vec4<f32>, SPLIT>;

fn reduce(value: vec4<f32>, lane: u32) -> vec4<f32> {
  shares[lane] = vec4<f32>(0.0);
  workgroupBarrier();
  let own = subgroupAdd(value);
  // The first of a subgroup; not every compiler knows subgroupElect.
  if (subgroupBroadcastFirst(lane) == lane) {
    shares[lane] = own;
  }
  workgroupBarrier();
  var sum = vec4<f32>(0.0);
  if (lane == 0u) {
    for (var i = 0u; i < SPLIT; i++) {
      sum += shares[i];
    }
  }
  workgroupBarrier();
  return sum;
}
