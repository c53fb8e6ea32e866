// y = W x, W of 2, 3, 4 or 8 bits, x of int8: one token.
//
//   y[m, n] = S[n] sum_g cs[n,g] xs[m,g] dot(q, qx[m])  +  M[n] sum_g cm[n,g] sum[m,g]      2, 3, 4 bits
//   y[m, n] = sum_g s[n,g] xs[m,g] dot(q, qx[m])                                            8 bits
//
// Parameters, bindings and what reads a packed matrix: product.wgsl, which stands before this.
//
// An invocation has one row block.
// rows:   one invocation a row block: dispatch (blocks / 64), the quicker one on software adapters
// split:  SPLIT invocations a row block, each every SPLIT-th tile: dispatch (blocks in x and z)
//
// reduce comes from reduce_workgroup.wgsl or reduce_subgroups.wgsl.
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
