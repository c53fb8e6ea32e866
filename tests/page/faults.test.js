import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe, Fault, toWire } from '../../browser_runtime/page/faults.js';

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
  "Can't create a session. ERROR_CODE: 9, ERROR_MESSAGE: Could not find an implementation for Foo(1)",
  'ERROR_CODE: 1, ERROR_MESSAGE: Program Transpose requires f16 but the device does not support it.',
]) {
  test(`what the backend cannot is Unsupported: ${text}`, () =>
    assert.equal(toWire(new Error(text)).code, 'Unsupported'));
}

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
