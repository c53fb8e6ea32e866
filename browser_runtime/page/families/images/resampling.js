/**
 * Images resized exactly as Pillow resizes them, so every browser feeds a model what its training saw; a canvas
 * would differ from browser to browser.
 * Source: Pillow, src/libImaging/Resample.c (antialiased, 8 bits between the passes). Width first, as in every Pillow
 * before 13, which trained today's models; Pillow 13 turns the order round for some sizes, to be faster.
 */

/** @typedef {{data: Uint8Array, height: number, width: number, channels: number}} Pixels rows of interleaved bytes */
/** @typedef {{top: number, left: number, height: number, width: number}} Region of an image, in its own pixels */
/** @typedef {{support: number, weigh: (distance: number) => number}} Filter */
/** @typedef {{first: number, weights: Int32Array}} Window the source pixels of one target pixel */

// Pillow's PRECISION_BITS: 32 less 8 for the pixel and 2 for overshoot.
const PRECISION_BITS = 22;
const ONE = 1 << PRECISION_BITS;
const HALF = ONE / 2;

const NEAREST = 0;
/** By Pillow's number, which is also what preprocessor_config.json holds. @type {Record<number, Filter>} */
const FILTERS = {
  1: { support: 3, weigh: weighLanczos },
  2: { support: 1, weigh: (distance) => Math.max(1 - Math.abs(distance), 0) },
  3: { support: 2, weigh: weighCubic },
  4: { support: 0.5, weigh: (distance) => Number(distance > -0.5 && distance <= 0.5) },
  5: { support: 1, weigh: weighHamming },
};

/**
 * One region of `source` resized: only what it needs is computed, however large the whole would be.
 * @param {Pixels} source
 * @param {number} height of the whole resized image
 * @param {number} width
 * @param {number} resample Pillow's number of the filter, 0 to 5
 * @param {Region} [region] of the resized image; default: all of it
 * @returns {Pixels}
 */
export function resize(source, height, width, resample, region = { top: 0, left: 0, height, width }) {
  if (resample === NEAREST) return pickNearest(source, height, width, region);
  const filter = FILTERS[resample];
  if (!filter) throw new Error(`resample ${resample} is none of Pillow's filters`);
  const rows = planSide(source.height, height, region.top, region.height, filter);
  const columns = planSide(source.width, width, region.left, region.width, filter);
  return blendRows(blendColumns(source, columns, spanOf(rows)), rows);
}

/**
 * The windows of a region's rows or columns; of one pixel each where that side keeps its size.
 * @param {number} sourceSize
 * @param {number} targetSize
 * @param {number} from
 * @param {number} count
 * @param {Filter} filter
 */
function planSide(sourceSize, targetSize, from, count, filter) {
  if (sourceSize !== targetSize) return planWindows(sourceSize, targetSize, from, count, filter);
  return Array.from({ length: count }, (_, at) => ({ first: from + at, weights: Int32Array.of(ONE) }));
}

/**
 * The first source pixel that any window needs, and one behind the last.
 * @param {Window[]} windows
 * @returns {[number, number]}
 */
function spanOf(windows) {
  const firsts = windows.map(({ first }) => first);
  return [Math.min(...firsts), Math.max(...windows.map(({ first, weights }) => first + weights.length))];
}

/**
 * Each column of the region, over the source rows that the second pass needs.
 * @param {Pixels} source
 * @param {Window[]} columns
 * @param {[number, number]} span of source rows
 * @returns {Pixels & {top: number}} `top`: the source row that it begins with
 */
function blendColumns({ data, width: sourceWidth, channels }, columns, [top, bottom]) {
  const [height, width] = [bottom - top, columns.length];
  const target = new Uint8Array(height * width * channels);
  for (let row = 0; row < height; row++) {
    columns.forEach(({ first, weights }, column) => {
      const from = ((top + row) * sourceWidth + first) * channels;
      blend(data, from, channels, weights, target, (row * width + column) * channels, channels);
    });
  }
  return { data: target, height, width, channels, top };
}

/**
 * @param {Pixels & {top: number}} source
 * @param {Window[]} rows
 * @returns {Pixels}
 */
function blendRows({ data, width, channels, top }, rows) {
  const stride = width * channels;
  const target = new Uint8Array(rows.length * stride);
  rows.forEach(({ first, weights }, row) => {
    blend(data, (first - top) * stride, stride, weights, target, row * stride, stride);
  });
  return { data: target, height: rows.length, width, channels };
}

/**
 * Source: Pillow, src/libImaging/Geometry.c, ImagingScaleAffine.
 * @param {Pixels} source
 * @param {number} height
 * @param {number} width
 * @param {Region} region
 * @returns {Pixels}
 */
function pickNearest({ data, height: sourceHeight, width: sourceWidth, channels }, height, width, region) {
  const rows = nearestPixels(sourceHeight, height, region.top, region.height);
  const columns = nearestPixels(sourceWidth, width, region.left, region.width);
  const target = new Uint8Array(rows.length * columns.length * channels);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * sourceWidth + column) * channels;
      for (let channel = 0; channel < channels; channel++) target[to++] = data[from + channel] ?? 0;
    }
  }
  return { data: target, height: rows.length, width: columns.length, channels };
}

/**
 * Source pixels by target pixel, their places summed up step by step as Pillow does, with its rounding.
 * @param {number} sourceSize
 * @param {number} targetSize
 * @param {number} from
 * @param {number} count
 */
function nearestPixels(sourceSize, targetSize, from, count) {
  if (sourceSize === targetSize) return Array.from({ length: count }, (_, at) => from + at);
  const step = sourceSize / targetSize;
  let place = step * 0.5;
  for (let at = 0; at < from; at++) place += step;
  return Array.from({ length: count }, () => {
    const pixel = Math.trunc(place);
    place += step;
    return pixel;
  });
}

/**
 * Writes `count` bytes, each the weighted sum of source bytes `stride` apart, rounded and clipped as Pillow does.
 * @param {Uint8Array} source
 * @param {number} from
 * @param {number} stride
 * @param {Int32Array} weights
 * @param {Uint8Array} target
 * @param {number} to
 * @param {number} count
 */
function blend(source, from, stride, weights, target, to, count) {
  for (let at = 0; at < count; at++) {
    let sum = HALF;
    for (let tap = 0; tap < weights.length; tap++) {
      // Never beyond 32 bits: 255 * ONE times the filters' overshoot is below 2^31.
      sum += /** @type {number} */ (source[from + at + tap * stride]) * /** @type {number} */ (weights[tap]);
    }
    target[to + at] = Math.min(Math.max(sum >> PRECISION_BITS, 0), 255);
  }
}

/**
 * For each target pixel the source pixels that make it up, and their fixed-point weights.
 * @param {number} sourceSize
 * @param {number} targetSize
 * @param {number} from the first target pixel that is wanted
 * @param {number} count
 * @param {Filter} filter
 * @returns {Window[]}
 */
function planWindows(sourceSize, targetSize, from, count, filter) {
  const scale = sourceSize / targetSize;
  // Shrinking widens the filter, which is what antialiases.
  const stretch = Math.max(scale, 1);
  const support = filter.support * stretch;
  return Array.from({ length: count }, (_, at) => {
    const centre = (from + at + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const taps = Math.min(Math.trunc(centre + support + 0.5), sourceSize) - first;
    const raw = Array.from({ length: taps }, (__, tap) =>
      filter.weigh((tap + first - centre + 0.5) / stretch),
    );
    return { first, weights: toFixedPoint(raw) };
  });
}

/**
 * Weights that sum to one, in fixed point, rounded away from zero at the half.
 * @param {number[]} raw
 */
function toFixedPoint(raw) {
  const sum = raw.reduce((total, weight) => total + weight, 0);
  return Int32Array.from(raw, (weight) => {
    const scaled = (weight / sum) * ONE;
    return Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
  });
}

/** @param {number} distance */
function weighCubic(distance) {
  // Pillow's a, which is Keys' choice too; OpenCV's is -0.75.
  const a = -0.5;
  const x = Math.abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** @param {number} distance */
function weighLanczos(distance) {
  return distance >= -3 && distance < 3 ? sinc(distance) * sinc(distance / 3) : 0;
}

/** @param {number} distance */
function weighHamming(distance) {
  const x = Math.abs(distance);
  if (x >= 1) return 0;
  return sinc(x) * (0.54 + 0.46 * Math.cos(x * Math.PI));
}

/** @param {number} x */
function sinc(x) {
  return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI);
}
