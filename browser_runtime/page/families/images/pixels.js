/**
 * One image to the numbers that a vision model takes, by the plan that the worker made of the model's files
 * (`models/configuration/pixels.py`). Only the part of the resized image that the model sees is computed.
 */
import { Fault } from '../../faults.js';
import { resize } from './resampling.js';

/** @typedef {import('./resampling.js').Pixels} Pixels */
/** @typedef {import('./resampling.js').Region} Region */
/**
 * @typedef {object} Plan
 * @property {number} channels 3, or 1 for a model of grey images
 * @property {number} height of the model's input
 * @property {number} width
 * @property {{height: number, width: number} | {shortest: number} | null} resize null: images are taken as they are
 * @property {number} resample Pillow's number of the filter
 * @property {{data: Float32Array}} levels [channels, 256]: the number for each byte; what lies outside is a zero byte
 * @property {boolean} flipped the last channel first
 * @property {TilePlan | null} tiles the cutting before all this, which is then done to each tile
 */
/**
 * An image as rows of tiles, and behind them all of it as one more.
 * @typedef {object} TilePlan
 * @property {number} edge height and width of a tile
 * @property {number | null} longest the longer side before tiles are cut; null: images are taken as they are
 * @property {boolean} splits false: only all of the image, as one tile
 */
/** @typedef {{height: number, width: number}} Size */

/**
 * An image of the model's own size with every grey level in it.
 * @param {Plan} plan
 */
export function drawSample({ height, width }) {
  const data = Uint8Array.from({ length: height * width * 3 }, (_, at) => at % 256);
  return { dtype: 'uint8', shape: [height, width, 3], data };
}

/** True for a uint8 array of height, width and 3. @param {any} item */
export function isImage(item) {
  const [height = 0, width = 0, channels] = item?.shape?.length === 3 ? item.shape : [];
  const holdsBytes = item?.dtype === 'uint8' && item.data instanceof Uint8Array;
  return holdsBytes && height > 0 && width > 0 && channels === 3;
}

/**
 * The item as pixels. Raises BadInput naming `field` when it is no uint8 array of height, width and 3.
 * @param {any} item
 * @param {string} field
 * @returns {Pixels}
 */
export function readPixels(item, field) {
  const shape = item?.shape ?? [];
  if (isImage(item)) return { data: item.data, height: shape[0], width: shape[1], channels: 3 };
  throw new Fault(
    'BadInput',
    field,
    `${item?.dtype ?? typeof item} of shape [${shape}]`,
    'uint8 of shape [height, width, 3]',
  );
}

/**
 * The tiles of an image row by row, then all of it; the image alone where none are cut. The twin of `cut_tiles` in
 * simulation/vision.py, its sizes those of `TilePlan` in models/configuration/tiles.py.
 * @param {Pixels} image
 * @param {Plan} plan
 * @returns {Pixels[]}
 */
export function cutTiles(image, { tiles, resample }) {
  if (!tiles) return [image];
  const { edge } = tiles;
  const scale = (/** @type {Pixels} */ pixels, /** @type {Size} */ { height, width }) =>
    pixels.height === height && pixels.width === width ? pixels : resize(pixels, height, width, resample);
  const first = measureFirst(image, tiles);
  const size = measureTiled(first, tiles);
  const whole = scale(scale(image, first), size);
  const cut = [];
  const isCut = size.height > edge || size.width > edge;
  for (let top = 0; isCut && top < size.height; top += edge) {
    for (let left = 0; left < size.width; left += edge)
      cut.push(cutRegion(whole, { top, left, height: edge, width: edge }));
  }
  return [...cut, scale(whole, { height: edge, width: edge })];
}

/** The size before tiles are cut. @param {Size} image @param {TilePlan} tiles @returns {Size} */
function measureFirst({ height, width }, { longest }) {
  if (!longest) return { height, width };
  const ratio = width / height;
  const other = Math.trunc(width >= height ? longest / ratio : longest * ratio);
  const even = Math.max(other + (other % 2), 1);
  return width >= height ? { height: even, width: longest } : { height: longest, width: even };
}

/** The size that is cut into tiles. @param {Size} first @param {TilePlan} tiles @returns {Size} */
function measureTiled({ height, width }, { edge, splits }) {
  if (!splits) return { height: edge, width: edge };
  const roundUp = (/** @type {number} */ side) => Math.ceil(side / edge) * edge;
  const ratio = width / height;
  const longer = roundUp(Math.max(height, width));
  if (width >= height) return { height: roundUp(Math.trunc(longer / ratio)), width: longer };
  return { height: longer, width: roundUp(Math.trunc(longer * ratio)) };
}

/**
 * The image as planes [channels, height, width], ready for the graph.
 * @param {Pixels} image
 * @param {Plan} plan
 * @returns {Float32Array}
 */
export function preparePixels(image, plan) {
  const { height, width } = measureResized(image, plan.resize);
  const top = Math.floor((height - plan.height) / 2);
  const left = Math.floor((width - plan.width) / 2);
  const region = {
    top: Math.max(top, 0),
    left: Math.max(left, 0),
    height: Math.min(plan.height, height),
    width: Math.min(plan.width, width),
  };
  const coloured = plan.channels === 1 ? toGrey(image) : image;
  const middle = plan.resize
    ? resize(coloured, height, width, plan.resample, region)
    : cutRegion(coloured, region);
  return toPlanes(middle, plan, Math.max(-top, 0), Math.max(-left, 0));
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
 * The size of the whole image after resizing.
 * @param {Pixels} image
 * @param {Plan['resize']} target
 * @returns {{height: number, width: number}}
 */
function measureResized({ height, width }, target) {
  if (!target) return { height, width };
  if (!('shortest' in target)) return target;
  const { shortest } = target;
  // The longer side is cut to an integer, as Hugging Face's get_resize_output_image_size does.
  const longest = Math.trunc((shortest * Math.max(height, width)) / Math.min(height, width));
  return height < width ? { height: shortest, width: longest } : { height: longest, width: shortest };
}

/**
 * @param {Pixels} image
 * @param {Region} region
 * @returns {Pixels}
 */
function cutRegion({ data, width: stride, channels }, { top, left, height, width }) {
  const target = new Uint8Array(height * width * channels);
  for (let row = 0; row < height; row++) {
    const from = ((top + row) * stride + left) * channels;
    target.set(data.subarray(from, from + width * channels), row * width * channels);
  }
  return { data: target, height, width, channels };
}

/**
 * The image by channels, as numbers, at `top` and `left` of the model's input; black around it.
 * @param {Pixels} image
 * @param {Plan} plan
 * @param {number} top
 * @param {number} left
 */
function toPlanes({ data, height: rows, width: columns, channels }, plan, top, left) {
  const { height, width, levels, flipped } = plan;
  const planes = new Float32Array(channels * height * width);
  for (let channel = 0; channel < channels; channel++) {
    const numbers = levels.data.subarray(channel * 256, (channel + 1) * 256);
    const plane = planes.subarray(channel * height * width, (channel + 1) * height * width);
    plane.fill(numbers[0] ?? 0);
    const offset = flipped ? channels - 1 - channel : channel;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const byte = data[(row * columns + column) * channels + offset] ?? 0;
        plane[(top + row) * width + left + column] = numbers[byte] ?? 0;
      }
    }
  }
  return planes;
}
