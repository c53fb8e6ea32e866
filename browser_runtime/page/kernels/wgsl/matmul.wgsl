// Y = X W^T, W of 2, 3, 4 or 8 bits, X of int8: several tokens.
//
//   y[m, n] = S[n] sum_g cs[n,g] xs[m,g] dot(q, qx[m])  +  M[n] sum_g cm[n,g] sum[m,g]      2, 3, 4 bits
//   y[m, n] = sum_g s[n,g] xs[m,g] dot(q, qx[m])                                            8 bits
//
// Parameters, bindings and what reads a packed matrix: product.wgsl, which stands before this.
//
// An invocation has one row block and four tokens; the words are unpacked once for all of them. What lies behind the last
// token is computed from it again and not stored.
// rows:   one invocation a row block: dispatch (blocks / 64, tokens / 4), the quicker one on software adapters
// split:  SPLIT invocations a row block, each every SPLIT-th tile: dispatch (blocks in x and z, tokens / 4)
//
// reduce comes from reduce_workgroup.wgsl or reduce_subgroups.wgsl.
var<private> scaled0: vec4<f32>;
var<private> minimum0: vec4<f32>;
var<private> sum0: vec4<i32>;
var<private> scaled1: vec4<f32>;
var<private> minimum1: vec4<f32>;
var<private> sum1: vec4<i32>;
var<private> scaled2: vec4<f32>;
var<private> minimum2: vec4<f32>;
var<private> sum2: vec4<i32>;
var<private> scaled3: vec4<f32>;
var<private> minimum3: vec4<f32>;
var<private> sum3: vec4<i32>;

// Word a of a tile: sixteen columns of four rows, and the vec4 of x that goes with them.
fn add_word(tile: u32, a: u32, x0: u32, x1: u32, x2: u32, x3: u32) {
  let v0 = x[x0 + a];
  let v1 = x[x1 + a];
  let v2 = x[x2 + a];
  let v3 = x[x3 + a];
  if (BITS == 8u) {
    let at = 16u * tile + 4u * a;
    sum0 += dots(words[at + 0u], v0.x);
    sum1 += dots(words[at + 0u], v1.x);
    sum2 += dots(words[at + 0u], v2.x);
    sum3 += dots(words[at + 0u], v3.x);
    sum0 += dots(words[at + 1u], v0.y);
    sum1 += dots(words[at + 1u], v1.y);
    sum2 += dots(words[at + 1u], v2.y);
    sum3 += dots(words[at + 1u], v3.y);
    sum0 += dots(words[at + 2u], v0.z);
    sum1 += dots(words[at + 2u], v1.z);
    sum2 += dots(words[at + 2u], v2.z);
    sum3 += dots(words[at + 2u], v3.z);
    sum0 += dots(words[at + 3u], v0.w);
    sum1 += dots(words[at + 3u], v1.w);
    sum2 += dots(words[at + 3u], v2.w);
    sum3 += dots(words[at + 3u], v3.w);
    return;
  }
  let low = words[4u * tile + a];
  let high = high_word(tile, a);
  let q0 = codes(a, 0u, low, high);
  sum0 += dots(q0, v0.x);
  sum1 += dots(q0, v1.x);
  sum2 += dots(q0, v2.x);
  sum3 += dots(q0, v3.x);
  let q1 = codes(a, 1u, low, high);
  sum0 += dots(q1, v0.y);
  sum1 += dots(q1, v1.y);
  sum2 += dots(q1, v2.y);
  sum3 += dots(q1, v3.y);
  let q2 = codes(a, 2u, low, high);
  sum0 += dots(q2, v0.z);
  sum1 += dots(q2, v1.z);
  sum2 += dots(q2, v2.z);
  sum3 += dots(q2, v3.z);
  let q3 = codes(a, 3u, low, high);
  sum0 += dots(q3, v0.w);
  sum1 += dots(q3, v1.w);
  sum2 += dots(q3, v2.w);
  sum3 += dots(q3, v3.w);
}

// Group h of a tile, scaled; s is the scale and the sum of each token's numbers there.
fn add_group(tile: u32, h: u32, x0: u32, x1: u32, x2: u32, x3: u32, s0: vec2<f32>, s1: vec2<f32>, s2: vec2<f32>, s3: vec2<f32>) {
  sum0 = vec4<i32>(0);
  sum1 = vec4<i32>(0);
  sum2 = vec4<i32>(0);
  sum3 = vec4<i32>(0);
  add_word(tile, 2u * h, x0, x1, x2, x3);
  add_word(tile, 2u * h + 1u, x0, x1, x2, x3);
  let scale = scales(tile, h);
  scaled0 += s0.x * (scale * vec4<f32>(sum0));
  scaled1 += s1.x * (scale * vec4<f32>(sum1));
  scaled2 += s2.x * (scale * vec4<f32>(sum2));
  scaled3 += s3.x * (scale * vec4<f32>(sum3));
  if (BITS != 8u) {
    let m = minima(tile, h);
    minimum0 += m * s0.y;
    minimum1 += m * s1.y;
    minimum2 += m * s2.y;
    minimum3 += m * s3.y;
  }
}

// Tiles first, first + step, ... of a row block.
fn accumulate(block: u32, first: u32, step: u32, token: u32) {
  scaled0 = vec4<f32>(0.0);
  minimum0 = vec4<f32>(0.0);
  scaled1 = vec4<f32>(0.0);
  minimum1 = vec4<f32>(0.0);
  scaled2 = vec4<f32>(0.0);
  minimum2 = vec4<f32>(0.0);
  scaled3 = vec4<f32>(0.0);
  minimum3 = vec4<f32>(0.0);
  let row0 = token * p.tiles;
  let row1 = min(token + 1u, p.tokens - 1u) * p.tiles;
  let row2 = min(token + 2u, p.tokens - 1u) * p.tiles;
  let row3 = min(token + 3u, p.tokens - 1u) * p.tiles;
  for (var j = first; j < p.tiles; j += step) {
    let tile = block * p.tiles + j;
    let x0 = 4u * (row0 + j);
    let s0 = xs[row0 + j];
    let x1 = 4u * (row1 + j);
    let s1 = xs[row1 + j];
    let x2 = 4u * (row2 + j);
    let s2 = xs[row2 + j];
    let x3 = 4u * (row3 + j);
    let s3 = xs[row3 + j];
    add_group(tile, 0u, x0, x1, x2, x3, s0.xy, s1.xy, s2.xy, s3.xy);
    add_group(tile, 1u, x0, x1, x2, x3, s0.zw, s1.zw, s2.zw, s3.zw);
  }
}

fn store(block: u32, token: u32) {
  y[token * p.stride + block] = finish(block, scaled0, minimum0);
  if (token + 1u < p.tokens) {
    y[(token + 1u) * p.stride + block] = finish(block, scaled1, minimum1);
  }
  if (token + 2u < p.tokens) {
    y[(token + 2u) * p.stride + block] = finish(block, scaled2, minimum2);
  }
  if (token + 3u < p.tokens) {
    y[(token + 3u) * p.stride + block] = finish(block, scaled3, minimum3);
  }
}

@compute @workgroup_size(64)
fn rows(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x >= p.blocks) {
    return;
  }
  accumulate(id.x, 0u, 1u, id.y * 4u);
  store(id.x, id.y * 4u);
}

@compute @workgroup_size(SPLIT)
fn split(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let block = group.x + 32768u * group.z;
  accumulate(min(block, p.blocks - 1u), lane, SPLIT, group.y * 4u);
  scaled0 = reduce(scaled0, lane);
  minimum0 = reduce(minimum0, lane);
  scaled1 = reduce(scaled1, lane);
  minimum1 = reduce(minimum1, lane);
  scaled2 = reduce(scaled2, lane);
  minimum2 = reduce(minimum2, lane);
  scaled3 = reduce(scaled3, lane);
  minimum3 = reduce(minimum3, lane);
  if (lane == 0u && block < p.blocks) {
    store(block, group.y * 4u);
  }
}
