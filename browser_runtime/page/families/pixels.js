/**
 * One image to the numbers that a vision model takes, by the model's preprocessor_config.json.
 */
import { Fault } from '../faults.js';
import { resize } from './resampling.js';

/** @typedef {import('./resampling.js').Pixels} Pixels */
/**
 * @typedef {object} Plan
 * @property {number} channels 3, or 1 for a model of grey images
 * @property {number} height of the model's input
 * @property {number} width
 * @property {{height: number, width: number} | {shortest: number} | null} resize
 * @property {number} resample
 * @property {Float32Array[]} levels by channel, the number for each of the 256 byte values
 */

// Steps that change the numbers and are not done here: a config that asks for them is refused, not half obeyed.
const UNKNOWN_STEPS = ['crop_pct', 'do_pad', 'do_convert_bgr', 'do_flip_channel_order', 'do_reduce_labels'];
// Pillow's bilinear, the default of Hugging Face's ViT image processor.
const BILINEAR = 2;

/**
 * What the two configs ask for. Raises Unsupported for a step that is not known here.
 * @param {Record<string, any>} preprocessor preprocessor_config.json
 * @param {number} channels `num_channels` of config.json
 * @returns {Plan}
 */
export function planPixels(preprocessor, channels) {
  const step = UNKNOWN_STEPS.find((name) => preprocessor[name]);
  if (step) throw new Fault('Unsupported', `preprocessing step ${step}`, 'no family knows it');
  const target = preprocessor.do_resize === false ? null : readSize(preprocessor.size);
  const cropped = preprocessor.do_center_crop ? readSize(preprocessor.crop_size) : target;
  if (!cropped || 'shortest' in cropped) {
    throw new Fault(
      'Unsupported',
      'a preprocessor_config without a fixed size',
      JSON.stringify(preprocessor.size),
    );
  }
  const resample = preprocessor.resample ?? BILINEAR;
  return { channels, ...cropped, resize: target, resample, levels: planLevels(preprocessor, channels) };
}

/**
 * @param {any} size a number, {height, width} or {shortest_edge}
 * @returns {{height: number, width: number} | {shortest: number}}
 */
function readSize(size) {
  if (typeof size === 'number') return { height: size, width: size };
  if (size?.height && size?.width) return { height: size.height, width: size.width };
  if (size?.shortest_edge) return { shortest: size.shortest_edge };
  throw new Fault(
    'Unsupported',
    `size ${JSON.stringify(size)}`,
    'height and width, or shortest_edge, are known',
  );
}

/**
 * Rescaling and normalising as a table: a byte has only 256 values.
 * @param {Record<string, any>} preprocessor
 * @param {number} channels
 */
function planLevels(preprocessor, channels) {
  const factor = preprocessor.do_rescale === false ? 1 : (preprocessor.rescale_factor ?? 1 / 255);
  const isNormal = preprocessor.do_normalize !== false;
  return Array.from({ length: channels }, (_, channel) => {
    const mean = isNormal ? readChannel(preprocessor.image_mean, channel) : 0;
    const deviation = isNormal ? readChannel(preprocessor.image_std, channel) : 1;
    return Float32Array.from({ length: 256 }, (_, level) => (level * factor - mean) / deviation);
  });
}

/**
 * @param {number | number[]} values
 * @param {number} channel
 * @returns {number}
 */
function readChannel(values, channel) {
  const value = Array.isArray(values) ? values[channel] : values;
  if (typeof value === 'number') return value;
  throw new Fault('Unsupported', 'normalising', `image_mean or image_std has nothing for channel ${channel}`);
}

/**
 * The item as pixels. Raises BadInput naming `field` when it is no uint8 array of height, width and 3.
 * @param {any} item
 * @param {string} field
 * @returns {Pixels}
 */
export function readPixels(item, field) {
  const shape = item?.shape ?? [];
  const isImage =
    item?.dtype === 'uint8' && item.data instanceof Uint8Array && shape.length === 3 && shape[2] === 3;
  if (isImage && shape[0] > 0 && shape[1] > 0) {
    return { data: item.data, height: shape[0], width: shape[1], channels: 3 };
  }
  throw new Fault(
    'BadInput',
    field,
    `${item?.dtype ?? typeof item} of shape [${shape}]`,
    'uint8 of shape [height, width, 3]',
  );
}

/**
 * The image as planes [channels, height, width], ready for the graph.
 * @param {Pixels} image
 * @param {Plan} plan
 * @returns {Float32Array}
 */
export function preparePixels(image, plan) {
  const coloured = plan.channels === 1 ? toGrey(image) : image;
  return toPlanes(resizeFor(coloured, plan), plan);
}

/**
 * One channel of luma, as Pillow's convert("L") has it: ITU-R 601-2 in 16-bit fixed point.
 * @param {Pixels} image
 * @returns {Pixels}
 */
export function toGrey({ data, height, width }) {
  const grey = new Uint8Array(height * width);
  for (let at = 0; at < grey.length; at++) {
    const [red = 0, green = 0, blue = 0] = [data[at * 3], data[at * 3 + 1], data[at * 3 + 2]];
    grey[at] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
  }
  return { data: grey, height, width, channels: 1 };
}

/**
 * @param {Pixels} image
 * @param {Plan} plan
 * @returns {Pixels}
 */
function resizeFor(image, plan) {
  if (!plan.resize) return image;
  if (!('shortest' in plan.resize))
    return resize(image, plan.resize.height, plan.resize.width, plan.resample);
  const { shortest } = plan.resize;
  const { height, width } = image;
  // The longer side is cut to an integer, as Hugging Face's get_resize_output_image_size does.
  const longest = Math.trunc((shortest * Math.max(height, width)) / Math.min(height, width));
  const [tall, wide] = height < width ? [shortest, longest] : [longest, shortest];
  return resize(image, tall, wide, plan.resample);
}

/**
 * The middle of the image by channels, as numbers; black where the image is smaller than the model's input.
 * @param {Pixels} image
 * @param {Plan} plan
 */
function toPlanes(image, { channels, height, width, levels }) {
  const planes = new Float32Array(channels * height * width);
  const top = Math.floor((image.height - height) / 2);
  const left = Math.floor((image.width - width) / 2);
  for (let at = 0; at < planes.length; at++) {
    const channel = Math.trunc(at / (height * width));
    const row = top + (Math.trunc(at / width) % height);
    const column = left + (at % width);
    planes[at] = levels[channel]?.[readByte(image, row, column, channel)] ?? 0;
  }
  return planes;
}

/**
 * @param {Pixels} image
 * @param {number} row
 * @param {number} column
 * @param {number} channel
 */
function readByte({ data, height, width, channels }, row, column, channel) {
  const isInside = row >= 0 && row < height && column >= 0 && column < width;
  return isInside ? (data[(row * width + column) * channels + channel] ?? 0) : 0;
}
