// dot4(a, b): the sum of the products of four signed bytes, by shifts alone.
fn dot4(a: u32, b: u32) -> i32 {
  let shifts = vec4<u32>(24u, 16u, 8u, 0u);
  let left = vec4<i32>(vec4<u32>(a) << shifts) >> vec4<u32>(24u);
  let right = vec4<i32>(vec4<u32>(b) << shifts) >> vec4<u32>(24u);
  return dot(left, right);
}
