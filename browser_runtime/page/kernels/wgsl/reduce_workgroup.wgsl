// reduce(value, lane): the sum of `value` over the SPLIT invocations of a workgroup, in the first of them at least.
override SPLIT: u32 = 32u;
var<workgroup> shares: array<vec4<f32>, SPLIT>;

fn reduce(value: vec4<f32>, lane: u32) -> vec4<f32> {
  shares[lane] = value;
  workgroupBarrier();
  for (var step = SPLIT / 2u; step > 0u; step /= 2u) {
    if (lane < step) {
      shares[lane] += shares[lane + step];
    }
    workgroupBarrier();
  }
  let sum = shares[0];
  workgroupBarrier();
  return sum;
}
