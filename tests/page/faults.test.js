import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe, endsLane, Fault, guardGraph, toWire } from '../../browser_runtime/page/faults.js';
import { FrameTooLarge } from '../../browser_runtime/page/frames.js';

test('an answer that fits no frame is too large', () => {
  const { code, args } = toWire(new FrameTooLarge(300, 256));
  assert.deepEqual([code, args], ['TooLarge', ['the reply', '300', '256']]);
});

test('a fault travels under its own name', () => {
  const { code, args, stack } = toWire(new Fault('BadInput', 'texts[0]', 3, 'a text'));
  assert.deepEqual([code, args], ['BadInput', ['texts[0]', '3', 'a text']]);
  assert.match(stack, /faults\.test\.js/);
});

for (const text of [
  'std::bad_alloc',
  'Array buffer allocation failed',
  'WebAssembly.Memory(): could not allocate memory',
  'Aborted(OOM). failed to allocate',
  'GPUOutOfMemoryError: Out of memory',
]) {
  test(`out of memory is recognised: ${text}`, () =>
    assert.equal(toWire(new Error(text)).code, 'OutOfMemory'));
}

for (const text of [
  'Device is lost.',
  "Failed to execute 'mapAsync' on 'GPUBuffer': A valid external Instance reference no longer exists.",
  'Parent device is lost',
  'failed to call OrtRun(). WebGPU device lost (2): Device was destroyed.',
  'MLContext is lost',
]) {
  test(`a lost device is recognised: ${text}`, () => {
    const { code, args } = toWire(new Error(text), 'chrome-1');
    assert.equal(code, 'DeviceLost');
    assert.equal(args[0], 'chrome-1');
  });
}

for (const text of [
  'Failed to fetch',
  'Failed to fetch dynamically imported module: http://127.0.0.1:1/page/families/vision.js',
  'error loading dynamically imported module: http://127.0.0.1:1/page/families/vision.js',
  'NetworkError when attempting to fetch resource.',
]) {
  test(`a page that is cut off is recognised: ${text}`, () => {
    const { code, args } = toWire(new TypeError(text), 'chrome-1');
    assert.deepEqual([code, args], ['PageCutOff', ['chrome-1', `TypeError: ${text}`]]);
  });
}

/** @typedef {import('../../browser_runtime/page/faults.js').GraphStep} GraphStep */
/** @type {GraphStep} */
const STEP = { doing: 'running', graph: 'model.onnx', model: 'acme/bert', backend: 'wasm' };

/** What `guardGraph` throws where onnxruntime throws `error`. @param {unknown} error @param {Partial<GraphStep>} [where] */
async function thrown(error, where = {}) {
  const fault = await guardGraph({ ...STEP, ...where }, () => Promise.reject(error)).catch(
    (caught) => caught,
  );
  assert.ok(fault instanceof Fault);
  return fault;
}

for (const text of [
  "Can't create a session. ERROR_CODE: 9, ERROR_MESSAGE: Could not find an implementation for Foo(1)",
  'ERROR_CODE: 1, ERROR_MESSAGE: Program Transpose requires f16 but the device does not support it.',
]) {
  test(`what the backend cannot is Unsupported: ${text}`, async () =>
    assert.equal((await thrown(new Error(text), { doing: 'opening' })).code, 'Unsupported'));
}

test('a graph that WebAssembly cannot open or run is the model’s fault, in onnxruntime’s words', async () => {
  const text = 'ERROR_CODE: 1, ERROR_MESSAGE: custom:Foo(-1) is not a registered function/op';
  for (const doing of /** @type {const} */ (['opening', 'running'])) {
    const { code, args, endsEngine } = await thrown(new Error(text), { doing });
    const sentence = `${doing} model.onnx on wasm failed: Error: ${text}`;
    assert.deepEqual([code, args, endsEngine], ['ModelFault', ['acme/bert', sentence], false]);
  }
});

test('a graph that WebNN or WebGPU cannot open is the backend’s fault until another one says otherwise', async () => {
  const error = new TypeError("Failed to execute 'gather' on 'MLGraphBuilder': the shapes do not fit");
  for (const backend of /** @type {const} */ (['webnn', 'webgpu'])) {
    const opening = await thrown(error, { backend, doing: 'opening' });
    assert.deepEqual([opening.code, ...opening.args.slice(0, 2)], ['BackendFault', backend, 'acme/bert']);
    assert.equal((await thrown(error, { backend })).code, 'ModelFault');
  }
});

for (const error of [
  new WebAssembly.RuntimeError('unreachable'),
  new WebAssembly.RuntimeError('memory access out of bounds'),
  new WebAssembly.RuntimeError('Aborted(). Build with -sASSERTIONS for more info.'),
  new RangeError('Maximum call stack size exceeded'),
  4711,
]) {
  test(`a crash ends the engine and is the backend’s fault: ${describe(error)}`, async () => {
    for (const backend of /** @type {const} */ (['wasm', 'webnn'])) {
      const fault = await thrown(error, { backend });
      assert.deepEqual([fault.code, endsLane(fault)], ['BackendFault', true]);
    }
  });
}

test('an engine that aborts for want of memory is out of memory, and ended all the same', async () => {
  const fault = await thrown(new WebAssembly.RuntimeError('Aborted(OOM). failed to allocate 8 GB'));
  assert.deepEqual([fault.code, endsLane(fault)], ['OutOfMemory', true]);
});

test('a graph’s lost device names its session only when it travels', async () => {
  const fault = await thrown(new Error('failed to call OrtRun(). WebGPU device lost (2)'));
  assert.deepEqual(
    [toWire(fault, 'chrome-1').code, toWire(fault, 'chrome-1').args[0]],
    ['DeviceLost', 'chrome-1'],
  );
});

test('anything else is a defect of the page, with its stack', () => {
  const { code, args, stack } = toWire(new TypeError('x is undefined'));
  assert.deepEqual([code, args], ['PageFault', ['TypeError: x is undefined']]);
  assert.match(stack, /faults\.test\.js/);
});

test('whatever is thrown has a description', () => {
  assert.equal(describe(4711), 'a C++ exception at 4711 left onnxruntime');
  assert.equal(describe('text'), 'text');
  assert.equal(describe(undefined), 'undefined');
});
