import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  bindDimensions,
  readInputShapes,
} from '../../browser_runtime/page/families/graphs/dimension_names.js';

const MODEL = new URL('../../browser_runtime/models/builtin/digits-vit/onnx/model.onnx', import.meta.url);

test('the names of a real file are read past its weights', () => {
  const shapes = readInputShapes(readFileSync(MODEL));
  assert.deepEqual(Object.keys(shapes), ['pixel_values']);
  assert.equal(shapes.pixel_values?.length, 4);
  assert.ok(shapes.pixel_values?.every((size) => size !== ''));
});

/** A protobuf field that has a length. @param {number} field @param {number[]} payload */
const nest = (field, payload) => [field * 8 + 2, payload.length, ...payload];
/** @param {string} text */
const letters = (text) => [...text].map((letter) => letter.charCodeAt(0));

test('names, sizes and dimensions that say nothing are told apart', () => {
  const dims = [nest(2, letters('n')), [8, 144, 3], []].flatMap((dim) => nest(1, dim));
  const tensor = nest(1, [8, 7, ...nest(2, dims)]);
  const input = nest(11, [...nest(1, letters('ids')), ...nest(2, tensor)]);
  // An eight-byte and a four-byte field, which a reader must step over.
  const skipped = [(2 << 3) | 1, ...Array(8).fill(9), (3 << 3) | 5, ...Array(4).fill(9)];
  assert.deepEqual(readInputShapes(Uint8Array.from([...skipped, ...nest(7, input)])), {
    ids: ['n', 400, ''],
  });
});

test('a truncated file is refused', () => {
  const bytes = readFileSync(MODEL);
  assert.throws(() => readInputShapes(bytes.subarray(0, bytes.length / 2)), { code: 'BadInput' });
});

test('sizes are bound to the names that the file declares', () => {
  const shapes = { ids: ['batch', 'length'], mask: ['batch', 'length'], fixed: [1, 'length'] };
  const wanted = { ids: [2, 16], mask: [2, 16], fixed: [1, 16] };
  assert.deepEqual(bindDimensions(shapes, wanted), { batch: 2, length: 16 });
});

test('what cannot be bound is refused: a fixed size, a nameless one, two sizes under one name', () => {
  assert.throws(() => bindDimensions({ ids: [1, 'n'] }, { ids: [2, 4] }), /dimension 0 of input ids/);
  assert.throws(() => bindDimensions({ ids: [''] }, { ids: [2] }), { code: 'Unsupported' });
  assert.throws(() => bindDimensions({ ids: ['n', 'n'] }, { ids: [2, 4] }), /n is 2 already/);
});
