/** `low_bits_encoder.json`, checked to the letter: what is not understood is refused by name. Pure. */
import { checkCounts, checkKeys, readManifestOf } from './manifest.js';

/**
 * @typedef {object} EncoderArchitecture
 * @property {number} layers
 * @property {number} width
 * @property {number} heads
 * @property {number} ffn
 * @property {number} vocab
 * @property {number} max_positions
 * @property {number} token_types
 * @property {number} norm_eps
 * @property {'gelu' | 'relu'} activation
 */
/** @typedef {import('./manifest.js').Tensor} Tensor */
/** @typedef {{architecture: EncoderArchitecture, tensors: Map<string, Tensor>, shards: import('./manifest.js').Shard[], about: Record<string, unknown>}} EncoderManifest */

const COUNTS = ['layers', 'width', 'heads', 'ffn', 'vocab', 'max_positions', 'token_types'];
const ACTIVATIONS = ['gelu', 'relu'];
const EIGHTS = 'a multiple of 8';

/** @type {import('./manifest.js').Kind<EncoderArchitecture>} */
const ENCODER = {
  file: 'low_bits_encoder.json',
  readArchitecture,
  tensorShapes: (architecture) => ({ needed: encoderShapes(architecture), optional: new Map() }),
  allowedBits: (name, shape) => (shape.length === 1 ? [32] : name.startsWith('layers.') ? [8] : [8, 16, 32]),
};

/**
 * Raises ModelFault, naming the place, where the manifest is not what kernels/README.md says.
 * @param {any} json
 * @param {string} model named in errors
 * @returns {EncoderManifest}
 */
export const readEncoderManifest = (json, model) => readManifestOf(ENCODER, json, model);

/** @param {any} architecture @param {import('./manifest.js').Refuse} refuse @returns {EncoderArchitecture} */
function readArchitecture(architecture, refuse) {
  checkKeys(architecture, [...COUNTS, 'norm_eps', 'activation'], 'architecture', refuse);
  checkCounts(architecture, COUNTS, refuse);
  const { width, heads, ffn, norm_eps: eps, activation } = architecture;
  if (ffn % 8 !== 0) refuse('ffn', ffn, EIGHTS);
  if (width % (8 * heads) !== 0) refuse('width', width, `a multiple of 8 heads (${8 * heads})`);
  if (!(eps > 0)) refuse('norm_eps', eps, 'a number above 0');
  if (!ACTIVATIONS.includes(activation)) refuse('activation', activation, `one of ${ACTIVATIONS.join(', ')}`);
  return architecture;
}

/** The shape of every tensor. @param {EncoderArchitecture} a @returns {Map<string, number[]>} */
function encoderShapes(a) {
  const shapes = new Map([
    ['words', [a.vocab, a.width]],
    ['positions', [a.max_positions, a.width]],
    ['token_types', [a.token_types, a.width]],
    ['norm', [a.width]],
    ['norm_bias', [a.width]],
  ]);
  const square = [a.width, a.width];
  const matrices = {
    q: square,
    k: square,
    v: square,
    o: square,
    up: [a.ffn, a.width],
    down: [a.width, a.ffn],
  };
  for (let layer = 0; layer < a.layers; layer++) {
    for (const [name, shape] of Object.entries(matrices)) {
      shapes.set(`layers.${layer}.${name}`, shape);
      shapes.set(`layers.${layer}.${name}_bias`, [shape[0] ?? 0]);
    }
    for (const name of ['attention_norm', 'attention_norm_bias', 'ffn_norm', 'ffn_norm_bias'])
      shapes.set(`layers.${layer}.${name}`, [a.width]);
  }
  return shapes;
}
