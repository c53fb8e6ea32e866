import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  decode,
  encode,
  FrameError,
  FrameTooLarge,
  LONG_JSON_BYTES,
  MAX_FRAME_BYTES,
  MAX_JSON_BYTES,
  NdArray,
} from '../../browser_runtime/page/frames.js';

/** @typedef {{name: string, frame: string, message: Record<string, unknown>}} Vector written by fixtures/make_frames.py */
/** @type {{good: Vector[], broken: Vector[]}} */
const vectors = JSON.parse(readFileSync(new URL('./fixtures/frames.json', import.meta.url), 'utf8'));

/** @param {string} base64 @returns {ArrayBuffer} */
const bytesOf = (base64) => Uint8Array.from(Buffer.from(base64, 'base64')).buffer;

/** The form in which make_frames.py shows arrays. @param {unknown} value @returns {unknown} */
function describe(value) {
  if (value instanceof NdArray) return { dtype: value.dtype, shape: value.shape, values: showNumbers(value) };
  if (Array.isArray(value)) return value.map(describe);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, describe(item)]));
}

/** @param {NdArray} array @returns {unknown[]} */
function showNumbers({ dtype, data }) {
  const numbers = Array.from(/** @type {Iterable<number | bigint>} */ (data));
  if (dtype === 'bool') return numbers.map(Boolean);
  if (dtype === 'float16' && data instanceof Uint16Array)
    return numbers.map((bits) => readHalf(Number(bits)));
  return numbers.map((number) => (typeof number === 'bigint' ? String(number) : number));
}

/** A normal or zero half, as JavaScript before Float16Array must read it. @param {number} bits */
function readHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  return exponent === 0 ? 0 : sign * 2 ** (exponent - 15) * (1 + (bits & 1023) / 1024);
}

for (const { name, frame, message } of vectors.good) {
  test(`decodes Python's frame: ${name}`, () => {
    assert.deepEqual(describe(decode(bytesOf(frame))), message);
  });

  test(`encodes what Python encoded: ${name}`, () => {
    const again = encode(decode(bytesOf(frame)));
    assert.deepEqual(describe(decode(again)), message);
    assert.equal(Buffer.from(again).toString('base64'), frame);
  });
}

for (const { name, frame } of vectors.broken) {
  test(`refuses what Python refuses: ${name}`, () => {
    assert.throws(() => decode(bytesOf(frame)), FrameError);
  });
}

test('decoded arrays are views on the frame', () => {
  const frame = encode({ x: Float32Array.of(1, 2) });
  const { x } = decode(frame);
  assert.ok(x instanceof NdArray);
  assert.equal(x.data.buffer, frame);
});

test('a bare typed array counts as one-dimensional', () => {
  const { x, half } = decode(encode({ x: Uint8Array.of(1, 2, 3), half: Uint16Array.of(9) }));
  assert.deepEqual(x, new NdArray('uint8', [3], Uint8Array.of(1, 2, 3)));
  assert.deepEqual(half, new NdArray('uint16', [1], Uint16Array.of(9)));
});

test('a view in the middle of its buffer travels alone', () => {
  const { x } = decode(encode({ x: Float32Array.of(1, 2, 3).subarray(1, 2) }));
  assert.deepEqual(x, new NdArray('float32', [1], Float32Array.of(2)));
});

test('the key __proto__ is a key like any other', () => {
  const decoded = decode(encode(JSON.parse('{"__proto__": {"a": 1}}')));
  assert.deepEqual(Object.keys(decoded), ['__proto__']);
  assert.equal(Object.getPrototypeOf(decoded), Object.prototype);
});

for (const [name, value] of [
  ['undefined', undefined],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['a bigint', 1n],
  ['a function', () => 1],
  ['a Map', new Map()],
  ['a DataView', new DataView(new ArrayBuffer(8))],
  ['an array that its shape does not fit', new NdArray('float32', [3], Float32Array.of(1))],
  ['an array of an unknown dtype', new NdArray('complex64', [1], Float32Array.of(1))],
  ['the key $blob', { $blob: 0 }],
  ['the key $json', { $json: 0 }],
  ['the key blobs', { deep: { blobs: [] } }],
]) {
  test(`refuses to send ${name}`, () => {
    assert.throws(() => encode({ value }), FrameError);
  });
}

test('refuses a frame over the limit', () => {
  const half = new Uint8Array(MAX_FRAME_BYTES / 2);
  assert.throws(() => encode({ items: [half, half] }), FrameTooLarge);
});

/** The bytes of a frame's header. @param {ArrayBuffer} frame */
const headerBytes = (frame) => new DataView(frame).getUint32(4, true);

for (const [name, value] of /** @type {[string, unknown][]} */ ([
  ['eight million letters', ['a'.repeat(8 * 2 ** 20)]],
  ['eight million bytes of emoji', Array.from({ length: 20 }, () => '🚀'.repeat(100_000))],
  [
    '64 times a thousand labels',
    Array.from({ length: 64_000 }, (_, at) => ({ label: `tench ${at}`, score: at / 7 })),
  ],
  ['quotes and control characters', '"\\\u0000\u2028'.repeat(20_000)],
])) {
  test(`${name} travel beside a short header`, () => {
    const frame = encode({ type: 'answer', value });
    assert.ok(headerBytes(frame) < 200);
    assert.deepEqual(decode(frame), { type: 'answer', value });
  });
}

test('a field stays in the header up to the limit, in bytes', () => {
  const around = [-1, 0, 1].map((more) =>
    encode({ x: 'é'.repeat(LONG_JSON_BYTES / 2 - 1) + 'x'.repeat(more + 1) }),
  );
  assert.deepEqual(
    around.map((frame) => headerBytes(frame) > LONG_JSON_BYTES),
    [true, false, false],
  );
});

test('refuses a field of more JSON than is read', () => {
  assert.throws(() => encode({ x: 'x'.repeat(MAX_JSON_BYTES) }), FrameTooLarge);
});
