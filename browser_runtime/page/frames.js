/**
 * Sans-I/O binary frames between worker and page: the twin of `../frames.py`, which gives the layout.
 *
 * Arrays travel as `NdArray`, or as a bare typed array, which counts as one-dimensional. Decoded arrays are views
 * on the frame: no copy. Encoding copies each array once, into the frame.
 */

const MAGIC = 0x31464957; // "WIF1", little-endian
const ALIGN = 8;
export const MAX_FRAME_BYTES = 256 * 2 ** 20;
export const MAX_HEADER_BYTES = 4 * 2 ** 20;
export const LONG_JSON_BYTES = 64 * 2 ** 10;
export const MAX_JSON_BYTES = 64 * 2 ** 20;
const MAX_DIMENSIONS = 8;

// Firefox 129, Chromium 135 and later; before them float16 is shown as its bits.
const Halves = 'Float16Array' in globalThis ? Reflect.get(globalThis, 'Float16Array') : Uint16Array;

/**
 * @typedef {Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array
 *   | Uint32Array | BigInt64Array | BigUint64Array} TypedArray
 */
/** @typedef {{new (buffer: ArrayBuffer, offset: number, length: number): TypedArray, BYTES_PER_ELEMENT: number}} ArrayKind */
/** @typedef {{dtype: string, shape: number[], size: number}} Spec a blob's description in the header */

/** @type {ReadonlyMap<string, ArrayKind>} */
const KINDS = new Map(
  /** @type {[string, any][]} */ ([
    ['float32', Float32Array],
    ['float16', Halves],
    ['float64', Float64Array],
    ['int8', Int8Array],
    ['uint8', Uint8Array],
    ['int16', Int16Array],
    ['uint16', Uint16Array],
    ['int32', Int32Array],
    ['uint32', Uint32Array],
    ['int64', BigInt64Array],
    ['uint64', BigUint64Array],
    ['bool', Uint8Array],
  ]),
);
// The last name of an array type is its dtype, save that a Uint8Array is no bool and a Uint16Array no float16.
const DTYPES = new Map([...KINDS].reverse().map(([dtype, kind]) => [kind, dtype]));
DTYPES.set(KINDS.get('uint8') ?? Uint8Array, 'uint8');
DTYPES.set(KINDS.get('uint16') ?? Uint16Array, 'uint16');

/** The bytes are not a frame of this protocol, or the values cannot be put into one. */
export class FrameError extends Error {
  /** @override */
  name = 'FrameError';
}

/** The message does not fit into a frame. */
export class FrameTooLarge extends FrameError {
  /** @override */
  name = 'FrameTooLarge';

  /**
   * @param {number} sizeBytes
   * @param {number} limitBytes
   */
  constructor(sizeBytes, limitBytes) {
    super(`${sizeBytes} bytes are over the limit of ${limitBytes}`);
    this.sizeBytes = sizeBytes;
    this.limitBytes = limitBytes;
  }
}

/** An array of `shape` in row-major order; bool and, where JavaScript has no halves, float16 keep their raw form. */
export class NdArray {
  /**
   * @param {string} dtype
   * @param {number[]} shape
   * @param {TypedArray} data
   */
  constructor(dtype, shape, data) {
    this.dtype = dtype;
    this.shape = shape;
    this.data = data;
  }
}

/**
 * The frame for `message`: JSON values with arrays anywhere inside.
 * @param {Record<string, unknown>} message
 * @returns {ArrayBuffer}
 * @throws {FrameError} for any other value; {@link FrameTooLarge}
 */
export function encode(message) {
  /** @type {NdArray[]} */
  const blobs = [];
  const fields = Object.entries(message).map(([key, value]) => [check(key), fold(value, blobs)]);
  fields.push(['blobs', blobs.map(({ dtype, shape, data }) => ({ dtype, shape, size: data.byteLength }))]);
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(fields)));
  const headerBytes = align(header.byteLength);
  const size = blobs.reduce((sum, blob) => sum + align(blob.data.byteLength), 8 + headerBytes);
  if (headerBytes > MAX_HEADER_BYTES || size > MAX_FRAME_BYTES)
    throw new FrameTooLarge(size, MAX_FRAME_BYTES);
  return write(header, headerBytes, blobs, size);
}

/**
 * What stands in the header for one field of the message; its arrays, and its JSON if long, go to `blobs`.
 * @param {unknown} value
 * @param {NdArray[]} blobs
 * @returns {unknown}
 */
function fold(value, blobs) {
  const short = extract(value, blobs);
  const text = JSON.stringify(short);
  // A character takes three bytes at most, so most fields need no encoding to be known as short.
  if (text.length * 3 <= LONG_JSON_BYTES) return short;
  const bytes = new TextEncoder().encode(text);
  if (bytes.byteLength <= LONG_JSON_BYTES) return short;
  if (bytes.byteLength > MAX_JSON_BYTES) throw new FrameTooLarge(bytes.byteLength, MAX_JSON_BYTES);
  return { $json: blobs.push(flat(bytes)) - 1 };
}

/**
 * @param {Uint8Array} header
 * @param {number} headerBytes its length with padding
 * @param {NdArray[]} blobs
 * @param {number} size
 * @returns {ArrayBuffer}
 */
function write(header, headerBytes, blobs, size) {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, headerBytes, true);
  bytes.set(header, 8);
  bytes.fill(0x20, 8 + header.byteLength, 8 + headerBytes);
  let offset = 8 + headerBytes;
  for (const { data } of blobs) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += align(data.byteLength);
  }
  return bytes.buffer;
}

/** @param {number} size @returns {number} */
const align = (size) => size + ((ALIGN - (size % ALIGN)) % ALIGN);

/**
 * The message in `frame`; its arrays are views on it.
 * @param {ArrayBuffer} frame
 * @returns {Record<string, unknown>}
 * @throws {FrameError}
 */
export function decode(frame) {
  const view = new DataView(frame);
  if (frame.byteLength < ALIGN || view.getUint32(0, true) !== MAGIC) {
    throw new FrameError('not a frame: wrong magic');
  }
  const length = view.getUint32(4, true);
  if (length > MAX_HEADER_BYTES || 8 + length > frame.byteLength || length % ALIGN) {
    throw new FrameError(`a header of ${length} bytes does not fit a frame of ${frame.byteLength}`);
  }
  const { blobs, ...body } = readHeader(parse(new Uint8Array(frame, 8, length)));
  if (!Array.isArray(blobs)) throw new FrameError('the header is not an object with a list of blobs');
  const arrays = readArrays(blobs, frame, 8 + length);
  const fields = Object.entries(body).map(([key, value]) => [key, restore(unfold(value, arrays), arrays)]);
  return Object.fromEntries(fields);
}

/** @param {unknown} value @returns {Record<string, unknown>} */
const readHeader = (value) => (isPlainObject(value) ? value : {});

/** @param {Uint8Array} text @returns {unknown} */
function parse(text) {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch (error) {
    throw new FrameError(`the header, or a field, is not JSON: ${error}`);
  }
}

/**
 * A field of the message, with its JSON in the place of the blob's number.
 * @param {unknown} value
 * @param {NdArray[]} arrays
 * @returns {unknown}
 */
function unfold(value, arrays) {
  if (!isPlainObject(value) || !('$json' in value)) return value;
  const { dtype, shape, data } = pick(value.$json, arrays);
  if (dtype !== 'uint8' || shape.length !== 1 || data.byteLength > MAX_JSON_BYTES) {
    throw new FrameError(`blob ${value.$json} is not JSON`);
  }
  return parse(/** @type {Uint8Array} */ (data));
}

/** @param {unknown} index @param {NdArray[]} arrays @returns {NdArray} */
function pick(index, arrays) {
  const array = typeof index === 'number' ? arrays[index] : undefined;
  if (!array) throw new FrameError(`blob ${JSON.stringify(index)} is not in the frame`);
  return array;
}

/**
 * `value` with each array replaced by its index in `blobs`.
 * @param {unknown} value
 * @param {NdArray[]} blobs
 * @returns {unknown}
 */
function extract(value, blobs) {
  if (value instanceof NdArray) return { $blob: blobs.push(checkShape(value)) - 1 };
  if (ArrayBuffer.isView(value)) return { $blob: blobs.push(flat(value)) - 1 };
  if (Array.isArray(value)) return value.map((item) => extract(item, blobs));
  if (isPlainObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [check(key), extract(item, blobs)]));
  }
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw new FrameError(`${typeof value} ${String(value)} cannot travel`.slice(0, 200));
}

/** @param {unknown} value @returns {value is Record<string, unknown>} */
function isPlainObject(value) {
  if (value === null || typeof value !== 'object') return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** @param {string} key @returns {string} */
function check(key) {
  if (key === '$blob' || key === '$json' || key === 'blobs') throw new FrameError(`'${key}' cannot be a key`);
  return key;
}

/** @param {NdArray} array @returns {NdArray} */
function checkShape(array) {
  const count = array.shape.reduce((product, size) => product * size, 1);
  if (!KINDS.has(array.dtype) || count !== array.data.length || array.shape.length > MAX_DIMENSIONS) {
    throw new FrameError(`an array of ${array.data.length} ${array.dtype} is not [${array.shape}]`);
  }
  return array;
}

/** @param {ArrayBufferView} data @returns {NdArray} */
function flat(data) {
  const dtype = DTYPES.get(/** @type {any} */ (data.constructor));
  if (!dtype) throw new FrameError(`a ${data.constructor.name} cannot travel`);
  const array = /** @type {TypedArray} */ (data);
  return new NdArray(dtype, [array.length], array);
}

/** @param {unknown[]} specs @param {ArrayBuffer} frame @param {number} start @returns {NdArray[]} */
function readArrays(specs, frame, start) {
  let offset = start;
  const arrays = specs.map((spec) => {
    const { dtype, shape, size } = checkSpec(spec);
    const Kind = /** @type {ArrayKind} */ (KINDS.get(dtype));
    const count = shape.reduce((product, length) => product * length, 1);
    if (size !== count * Kind.BYTES_PER_ELEMENT || offset + size > frame.byteLength) {
      throw new FrameError(`a blob of ${size} bytes does not hold ${dtype}[${shape}]`);
    }
    const array = new NdArray(dtype, shape, new Kind(frame, offset, count));
    offset += align(size);
    return array;
  });
  if (offset !== frame.byteLength) {
    throw new FrameError(`${frame.byteLength - offset} bytes follow the last blob`);
  }
  return arrays;
}

/** @param {any} spec @returns {Spec} */
function checkSpec(spec) {
  if (!KINDS.has(spec?.dtype)) throw new FrameError(`unknown blob ${JSON.stringify(spec)}`.slice(0, 200));
  if (!Array.isArray(spec.shape) || spec.shape.length > MAX_DIMENSIONS) {
    throw new FrameError("a blob's shape must be a list of at most 8 sizes");
  }
  if (!spec.shape.every((/** @type {unknown} */ size) => isSize(size))) {
    throw new FrameError("a blob's sizes must be whole numbers from 0");
  }
  return spec;
}

/** @param {unknown} size */
const isSize = (size) => Number.isInteger(size) && Number(size) >= 0 && Number(size) <= MAX_FRAME_BYTES;

/** @param {unknown} value @param {NdArray[]} arrays @returns {unknown} */
function restore(value, arrays) {
  if (Array.isArray(value)) return value.map((item) => restore(item, arrays));
  if (value === null || typeof value !== 'object') return value;
  if (!('$blob' in value)) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, restore(item, arrays)]));
  }
  return pick(value.$blob, arrays);
}
