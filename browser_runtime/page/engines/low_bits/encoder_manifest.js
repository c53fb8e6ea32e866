/** `low_bits_encoder.json`, checked to the letter: what is not understood is refused by name. Pure. */
import { roundUp } from '../../kernels/layout.js';
import { checkCounts, checkKeys, readManifestOf } from './manifest.js';

/** @typedef {{layers: number, width: number, heads: number, ffn: number, norm_eps: number, activation: 'gelu' | 'relu'}} Layers */
/** @typedef {Layers & {vocab: number, max_positions: number, token_types: number}} TextArchitecture */
/** @typedef {{height: number, width: number, patch: number, channels: number}} Image height and width in pixels */
/** @typedef {Layers & {image: Image, classes: number}} ImageArchitecture */
/** @typedef {TextArchitecture | ImageArchitecture} EncoderArchitecture */
/** @typedef {import('./manifest.js').Tensor} Tensor */
/** @typedef {{architecture: EncoderArchitecture, tensors: Map<string, Tensor>, shards: import('./manifest.js').Shard[], about: Record<string, unknown>}} EncoderManifest */

const COUNTS = ['layers', 'width', 'heads', 'ffn'];
const TEXT_COUNTS = [...COUNTS, 'vocab', 'max_positions', 'token_types'];
const IMAGE_COUNTS = [...COUNTS, 'classes'];
const IMAGE_SIZES = ['height', 'width', 'patch', 'channels'];
const ACTIVATIONS = ['gelu', 'relu'];
const EIGHTS = 'a multiple of 8';

/** @type {import('./manifest.js').Kind<EncoderArchitecture>} */
const ENCODER = {
  file: 'low_bits_encoder.json',
  readArchitecture,
  tensorShapes: (architecture) => ({ needed: encoderShapes(architecture), optional: new Map() }),
  allowedBits: (name, shape) => (shape.length === 1 ? [32] : isProduct(name) ? [8] : [8, 16, 32]),
};

/**
 * Raises ModelFault, naming the place, where the manifest is not what kernels/README.md says.
 * @param {any} json
 * @param {string} model named in errors
 * @returns {EncoderManifest}
 */
export const readEncoderManifest = (json, model) => readManifestOf(ENCODER, json, model);

/** True for what rows are multiplied with. @param {string} name */
export const isProduct = (name) => name.startsWith('layers.') || name === 'patches';

/** @param {EncoderArchitecture} architecture @returns {architecture is ImageArchitecture} */
export const readsImages = (architecture) => 'image' in architecture;

/** The patches of an image, what is left at its ends not read; a patch's numbers are filled up to a multiple of 8. @param {Image} image */
export function patchesOf({ height, width, patch, channels }) {
  const across = Math.floor(width / patch);
  return {
    count: across * Math.floor(height / patch),
    across,
    columns: roundUp(channels * patch * patch, 8),
  };
}

/** @param {any} architecture @param {import('./manifest.js').Refuse} refuse @returns {EncoderArchitecture} */
function readArchitecture(architecture, refuse) {
  const hasImages = architecture?.image !== undefined;
  const counts = hasImages ? IMAGE_COUNTS : TEXT_COUNTS;
  const others = ['norm_eps', 'activation', ...(hasImages ? ['image'] : [])];
  checkKeys(architecture, [...counts, ...others], 'architecture', refuse);
  checkCounts(architecture, counts, refuse);
  if (hasImages) checkImage(architecture.image, refuse);
  const { width, heads, ffn, norm_eps: eps, activation } = architecture;
  if (ffn % 8 !== 0) refuse('ffn', ffn, EIGHTS);
  if (width % (8 * heads) !== 0) refuse('width', width, `a multiple of 8 heads (${8 * heads})`);
  if (!(eps > 0)) refuse('norm_eps', eps, 'a number above 0');
  if (!ACTIVATIONS.includes(activation)) refuse('activation', activation, `one of ${ACTIVATIONS.join(', ')}`);
  return architecture;
}

/** @param {any} image @param {import('./manifest.js').Refuse} refuse */
function checkImage(image, refuse) {
  checkKeys(image, IMAGE_SIZES, 'image', refuse);
  checkCounts(image, IMAGE_SIZES, refuse);
  if (patchesOf(image).count < 1) refuse('patch', image.patch, 'one that fits into the image');
}

/** @param {EncoderArchitecture} a @returns {[string, number[]][]} */
function inputShapes(a) {
  if (!readsImages(a)) {
    return [
      ['words', [a.vocab, a.width]],
      ['positions', [a.max_positions, a.width]],
      ['token_types', [a.token_types, a.width]],
    ];
  }
  const { count, columns } = patchesOf(a.image);
  return [
    ['patches', [a.width, columns]],
    ['patches_bias', [a.width]],
    ['class_token', [a.width]],
    ['positions', [1 + count, a.width]],
    ['head', [a.classes, a.width]],
    ['head_bias', [a.classes]],
  ];
}

/** The shape of every tensor. @param {EncoderArchitecture} a @returns {Map<string, number[]>} */
function encoderShapes(a) {
  const shapes = new Map(inputShapes(a));
  for (const name of ['norm', 'norm_bias']) shapes.set(name, [a.width]);
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
