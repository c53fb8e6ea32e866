import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkSizes,
  fixedSize,
  makeFeeds,
  readTextShape,
} from '../../browser_runtime/page/families/graphs/feeds.js';
import { countPositions } from '../../browser_runtime/page/families/texts/tokens.js';

class Tensor {
  /** @param {string} type @param {any} data @param {number[]} dims */
  constructor(type, data, dims) {
    Object.assign(this, { type, data, dims });
  }
}
const ORT = /** @type {any} */ ({ Tensor });

/** @param {string} name @param {string} type @param {(string | number)[]} shape */
const input = (name, type, shape) => /** @type {any} */ ({ name, type, shape, isTensor: true });

/** @param {...any} inputMetadata */
const graph = (...inputMetadata) => ({ model: 'tiny', inputMetadata });

const IDS = { data: Int32Array.of(5, 0, 7), dims: [1, 3] };

test('ids come in whatever type the graph declares', () => {
  /** @type {Record<string, any>} */
  const wanted = {
    int64: BigInt64Array.of(5n, 0n, 7n),
    int32: Int32Array.of(5, 0, 7),
    float32: Float32Array.of(5, 0, 7),
    float64: Float64Array.of(5, 0, 7),
    bool: Uint8Array.of(1, 0, 1),
  };
  for (const [type, data] of Object.entries(wanted)) {
    const feeds = makeFeeds(ORT, graph(input('input_ids', type, ['batch', 'tokens'])), { input_ids: IDS });
    assert.deepEqual(/** @type {any} */ (feeds.input_ids), new Tensor(type, data, [1, 3]));
  }
});

test('values that the graph lacks are left out, inputs that nothing is known for are named', () => {
  const values = { input_ids: IDS, token_type_ids: IDS };
  const feeds = makeFeeds(ORT, graph(input('input_ids', 'int64', ['batch', 'tokens'])), values);
  assert.deepEqual(Object.keys(feeds), ['input_ids']);
  assert.throws(() => makeFeeds(ORT, graph(input('bbox', 'int64', ['batch', 'tokens', 4])), values), {
    code: 'ModelFault',
    args: ['tiny', 'nothing is known for the graph input bbox, only for input_ids, token_type_ids'],
  });
  assert.throws(() => makeFeeds(ORT, graph(input('input_ids', 'string', ['batch', 'tokens'])), values), {
    code: 'ModelFault',
  });
});

test('what has another shape than the graph declares is named', () => {
  checkSizes('tiny', 'x', ['batch', 3, -1], [9, 3, 5]);
  checkSizes('tiny', 'x', [], [9, 3]);
  checkSizes('tiny', 'x', [4, 3], [-1, 3]);
  for (const declared of [
    ['batch', 4],
    [2, 3],
    ['batch', 'tokens', 'width'],
  ]) {
    assert.throws(() => checkSizes('tiny', 'input_ids', declared, [1, 3]), {
      args: ['tiny', `the graph input input_ids declares the shape [${declared.join(', ')}], not [1, 3]`],
    });
  }
});

test('a text graph tells its sizes, and whether it is told padding from text', () => {
  const free = ['batch', 'tokens'];
  assert.deepEqual(readTextShape('tiny', { input_ids: free, attention_mask: free }), {
    rows: null,
    columns: null,
    positionRows: null,
    canPad: true,
  });
  assert.deepEqual(
    readTextShape('tiny', { input_ids: [4, 64], attention_mask: [4, 64], position_ids: [1, 64] }),
    {
      rows: 4,
      columns: 64,
      positionRows: 1,
      canPad: true,
    },
  );
  assert.equal(readTextShape('tiny', { input_ids: free }).canPad, false);
  assert.throws(() => readTextShape('tiny', { input_ids: ['batch', 64] }), {
    args: [
      'tiny',
      'its graph takes texts of 64 tokens and no attention_mask, so it would read padding as text',
    ],
  });
  assert.equal(fixedSize({ x: ['', 0, 7] }, 'x', 1), null);
  assert.equal(fixedSize({ x: ['', 0, 7] }, 'x', 2), 7);
  assert.equal(fixedSize({}, 'x', 0), null);
});

test('positions count from where the model counts', () => {
  assert.deepEqual([...countPositions(2, 3, 0)], [0, 1, 2, 0, 1, 2]);
  assert.deepEqual([...countPositions(1, 3, 2)], [2, 3, 4]);
});
