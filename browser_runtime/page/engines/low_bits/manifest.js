/** `low_bits.json`, checked to the letter: what is not understood is refused by name. Pure. */
import { Fault } from '../../faults.js';
import { layoutMatrix } from '../../kernels/layout.js';

/** @typedef {import('../../kernels/layout.js').MatrixLayout} MatrixLayout */
/**
 * @typedef {object} Architecture
 * @property {number} layers
 * @property {number} width
 * @property {number} heads
 * @property {number} kv_heads
 * @property {number} head_dim
 * @property {number} ffn
 * @property {number} vocab
 * @property {number} norm_eps
 * @property {number} max_positions
 * @property {{inverse_frequencies: number[], attention_factor: number}} rope
 * @property {boolean} tied_head
 * @property {boolean} qk_norm
 * @property {string} activation
 * @property {boolean} values_rotated
 */
/** @typedef {{layout: MatrixLayout, shard: number, offset: number}} Tensor */
/** @typedef {{path: string, size_bytes: number, sha256: string}} Shard */
/** @typedef {{architecture: Architecture, tensors: Map<string, Tensor>, shards: Shard[], about: Record<string, unknown>}} Manifest */

const FORMAT = 'webinfer-low-bits';
const VERSION = 1;
const KEYS = ['format', 'version', 'architecture', 'tensors', 'shards', 'about'];
const COUNTS = /** @type {const} */ ([
  'layers',
  'width',
  'heads',
  'kv_heads',
  'head_dim',
  'ffn',
  'vocab',
  'max_positions',
]);
const OTHERS = ['norm_eps', 'rope', 'tied_head', 'qk_norm', 'activation', 'values_rotated'];

/**
 * @template A
 * @typedef {object} Kind what a manifest of one kind of model holds
 * @property {string} file named in errors
 * @property {(architecture: any, refuse: Refuse) => A} readArchitecture
 * @property {(architecture: A) => {needed: Map<string, number[]>, optional: Map<string, number[]>}} tensorShapes
 * @property {(name: string, shape: number[]) => number[]} allowedBits
 */

/** @type {Kind<Architecture>} */
const DECODER = {
  file: 'low_bits.json',
  readArchitecture,
  tensorShapes,
  allowedBits: (_, shape) => (shape.length === 1 ? [32] : [2, 3, 4, 8, 16, 32]),
};

/**
 * Raises ModelFault, naming the place, where the manifest is not what kernels/README.md says.
 * @param {any} json
 * @param {string} model named in errors
 * @returns {Manifest}
 */
export const readManifest = (json, model) => readManifestOf(DECODER, json, model);

/**
 * @template A
 * @param {Kind<A>} kind
 * @param {any} json
 * @param {string} model named in errors
 * @returns {{architecture: A, tensors: Map<string, Tensor>, shards: Shard[], about: Record<string, unknown>}}
 */
export function readManifestOf(kind, json, model) {
  const refuse = refuser(kind.file, model);
  if (json?.format !== FORMAT) refuse('format', json?.format, FORMAT);
  if (json.version !== VERSION) refuse('version', json.version, VERSION);
  checkKeys(json, KEYS, kind.file, refuse);
  const architecture = kind.readArchitecture(json.architecture, refuse);
  const tensors = readTensors(kind, json.tensors ?? {}, architecture, json.shards ?? [], refuse);
  return { architecture, tensors, shards: json.shards, about: json.about ?? {} };
}

/** @typedef {(where: string, found: unknown, allowed: unknown) => never} Refuse */

/** @param {string} file @param {string} model @returns {Refuse} */
const refuser = (file, model) => (where, found, allowed) => {
  const text = `${file}: ${where} is ${JSON.stringify(found) ?? 'missing'}, not ${allowed}`;
  throw new Fault('ModelFault', model, text);
};

/** @param {object} value @param {readonly string[]} known @param {string} where @param {Refuse} refuse */
export function checkKeys(value, known, where, refuse) {
  const unknown = Object.keys(value ?? {}).find((key) => !known.includes(key));
  if (unknown !== undefined) refuse(`a key of ${where}`, unknown, `one of ${known.join(', ')}`);
}

/** @param {any} architecture @param {readonly string[]} counts @param {Refuse} refuse */
export function checkCounts(architecture, counts, refuse) {
  for (const key of counts) {
    const count = architecture?.[key];
    if (!Number.isInteger(count) || count < 1) refuse(key, count, 'a whole number from 1 on');
  }
}

/** @param {any} architecture @param {Refuse} refuse @returns {Architecture} */
function readArchitecture(architecture, refuse) {
  checkKeys(architecture, [...COUNTS, ...OTHERS], 'architecture', refuse);
  checkCounts(architecture, COUNTS, refuse);
  const { heads, kv_heads: kvHeads, head_dim: headDim, rope, activation } = architecture;
  if (heads % kvHeads !== 0) refuse('kv_heads', kvHeads, `a divisor of heads (${heads})`);
  if (headDim % 4 !== 0 || headDim > 256) refuse('head_dim', headDim, 'a multiple of 4 up to 256');
  if (activation !== 'silu') refuse('activation', activation, '"silu"');
  if (!(architecture.norm_eps > 0)) refuse('norm_eps', architecture.norm_eps, 'a number above 0');
  const pairs = rope?.inverse_frequencies;
  const isTable = Array.isArray(pairs) && pairs.every(Number.isFinite) && pairs.length > 0;
  if (!isTable || 2 * pairs.length > headDim) {
    refuse('rope.inverse_frequencies', pairs?.length, `1 to ${headDim / 2} numbers`);
  }
  if (!Number.isFinite(rope.attention_factor))
    refuse('rope.attention_factor', rope.attention_factor, 'a number');
  return architecture;
}

/**
 * The shape of every tensor that the architecture has or may have.
 * @param {Architecture} a
 * @returns {{needed: Map<string, number[]>, optional: Map<string, number[]>}}
 */
export function tensorShapes(a) {
  const [q, kv] = [a.heads * a.head_dim, a.kv_heads * a.head_dim];
  const needed = new Map([
    ['embedding', [a.vocab, a.width]],
    ['norm', [a.width]],
  ]);
  const optional = new Map();
  if (!a.tied_head) needed.set('head', [a.vocab, a.width]);
  for (let layer = 0; layer < a.layers; layer++) {
    const matrices = { q: [q, a.width], k: [kv, a.width], v: [kv, a.width], o: [a.width, q] };
    const ffn = { gate: [a.ffn, a.width], up: [a.ffn, a.width], down: [a.width, a.ffn] };
    for (const [name, shape] of Object.entries({ ...matrices, ...ffn })) {
      needed.set(`layers.${layer}.${name}`, shape);
      optional.set(`layers.${layer}.${name}_bias`, [shape[0] ?? 0]);
    }
    for (const name of ['attention_norm', 'ffn_norm']) needed.set(`layers.${layer}.${name}`, [a.width]);
    if (!a.qk_norm) continue;
    for (const name of ['q_norm', 'k_norm']) needed.set(`layers.${layer}.${name}`, [a.head_dim]);
  }
  return { needed, optional };
}

/**
 * @template A
 * @param {Kind<A>} kind @param {Record<string, any>} tensors @param {A} architecture @param {Shard[]} shards
 * @param {Refuse} refuse
 * @returns {Map<string, Tensor>}
 */
function readTensors(kind, tensors, architecture, shards, refuse) {
  const { needed, optional } = kind.tensorShapes(architecture);
  const missing = [...needed.keys()].find((name) => !Object.hasOwn(tensors, name));
  if (missing) refuse(`tensor ${missing}`, undefined, 'left out');
  const found = new Map();
  for (const [name, entry] of Object.entries(tensors)) {
    const shape = needed.get(name) ?? optional.get(name);
    if (!shape) refuse('a tensor', name, 'one that this architecture has');
    const allowed = kind.allowedBits(name, /** @type {number[]} */ (shape));
    found.set(
      name,
      readTensor(name, entry, { shape: /** @type {number[]} */ (shape), allowed }, shards, refuse),
    );
  }
  return found;
}

/**
 * @param {string} name @param {any} entry @param {{shape: number[], allowed: number[]}} wanted
 * @param {Shard[]} shards @param {Refuse} refuse
 * @returns {Tensor}
 */
function readTensor(name, entry, { shape, allowed }, shards, refuse) {
  checkKeys(entry, ['shape', 'bits', 'shard', 'offset', 'size_bytes'], name, refuse);
  if (String(entry.shape) !== String(shape)) refuse(`the shape of ${name}`, entry.shape, `[${shape}]`);
  if (!allowed.includes(entry.bits)) refuse(`the bits of ${name}`, entry.bits, allowed.join(', '));
  const layout = layoutMatrix(shape, entry.bits);
  if (entry.size_bytes !== layout.sizeBytes)
    refuse(`size_bytes of ${name}`, entry.size_bytes, layout.sizeBytes);
  const shard = shards[entry.shard];
  if (!shard) refuse(`the shard of ${name}`, entry.shard, `one of ${shards.length}`);
  const end = entry.offset + layout.sizeBytes;
  if (!(entry.offset >= 0) || entry.offset % 64 !== 0 || end > (shard?.size_bytes ?? 0)) {
    refuse(`the offset of ${name}`, entry.offset, 'a multiple of 64 inside its shard');
  }
  return { layout, shard: entry.shard, offset: entry.offset };
}
