/**
 * A LLaMA as a list of operations, the same for every backend. Pure: built once from the manifest, then walked for
 * each step.
 */

/** @typedef {'x' | 'h' | 'q' | 'k' | 'v' | 'attention' | 'gate' | 'up' | 'picked' | 'logits'} RowsName */
/**
 * @typedef {{op: 'embed', matrix: string, out: RowsName}
 *   | {op: 'norm', x: RowsName, weight: string, out: RowsName}
 *   | {op: 'pick', x: RowsName, weight: string, out: RowsName}
 *   | {op: 'quantize', x: RowsName}
 *   | {op: 'matmul', matrix: string, x: RowsName, out: RowsName}
 *   | {op: 'bias', x: RowsName, weight: string}
 *   | {op: 'headNorm', x: RowsName, weight: string, heads: number}
 *   | {op: 'rope', x: RowsName, heads: number}
 *   | {op: 'append', layer: number}
 *   | {op: 'attend', layer: number}
 *   | {op: 'silu'}
 *   | {op: 'add', x: RowsName}} PlanStep
 */

/**
 * The operations of one step. `pick` is the last norm, of only those tokens whose logits are wanted.
 * @param {import('./manifest.js').Manifest} manifest
 * @returns {PlanStep[]}
 */
export function buildPlan({ architecture, tensors }) {
  const { layers, heads, kv_heads: kvHeads, qk_norm: hasHeadNorms, tied_head: isTied } = architecture;
  /** @type {PlanStep[]} */
  const plan = [{ op: 'embed', matrix: 'embedding', out: 'x' }];
  const project = (/** @type {RowsName} */ x, /** @type {[string, RowsName][]} */ products) => {
    if (products.some(([matrix]) => (tensors.get(matrix)?.layout.bits ?? 0) < 16))
      plan.push({ op: 'quantize', x });
    for (const [matrix, out] of products) {
      plan.push({ op: 'matmul', matrix, x, out });
      if (tensors.has(`${matrix}_bias`)) plan.push({ op: 'bias', x: out, weight: `${matrix}_bias` });
    }
  };
  for (let layer = 0; layer < layers; layer++) {
    const at = (/** @type {string} */ name) => `layers.${layer}.${name}`;
    plan.push({ op: 'norm', x: 'x', weight: at('attention_norm'), out: 'h' });
    project('h', [
      [at('q'), 'q'],
      [at('k'), 'k'],
      [at('v'), 'v'],
    ]);
    if (hasHeadNorms) {
      plan.push({ op: 'headNorm', x: 'q', weight: at('q_norm'), heads });
      plan.push({ op: 'headNorm', x: 'k', weight: at('k_norm'), heads: kvHeads });
    }
    plan.push({ op: 'rope', x: 'q', heads }, { op: 'rope', x: 'k', heads: kvHeads });
    plan.push({ op: 'append', layer }, { op: 'attend', layer });
    project('attention', [[at('o'), 'h']]);
    plan.push({ op: 'add', x: 'h' }, { op: 'norm', x: 'x', weight: at('ffn_norm'), out: 'h' });
    project('h', [
      [at('gate'), 'gate'],
      [at('up'), 'up'],
    ]);
    plan.push({ op: 'silu' });
    project('gate', [[at('down'), 'h']]);
    plan.push({ op: 'add', x: 'h' });
  }
  plan.push({ op: 'pick', x: 'x', weight: 'norm', out: 'picked' });
  project('picked', [[isTied ? 'embedding' : 'head', 'logits']]);
  return plan;
}
