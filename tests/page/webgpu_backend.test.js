import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebGpuBackend } from '../../browser_runtime/page/engines/low_bits/webgpu_backend.js';

Reflect.set(globalThis, 'GPUBufferUsage', { STORAGE: 1, COPY_DST: 2, COPY_SRC: 4 });

/** A device that keeps its stack of error scopes; the buffer of that number cannot be had. @param {number} [full] */
function fakeDevice(full = -1) {
  const scopes = /** @type {{filter: string, error: {message: string} | null}[]} */ ([]);
  let made = 0;
  const createBuffer = () => {
    const scope = scopes.findLast(({ filter }) => filter === 'out-of-memory');
    if (made++ === full && scope) scope.error = { message: 'full' };
    return { destroy() {} };
  };
  const gpu = {
    limits: { maxStorageBufferBindingSize: 1e9, maxBufferSize: 1e9 },
    queue: { writeBuffer() {} },
    createBuffer,
    pushErrorScope: (/** @type {string} */ filter) => scopes.push({ filter, error: null }),
    popErrorScope: async () => scopes.pop()?.error ?? null,
  };
  return { gpu: /** @type {any} */ (gpu), scopes };
}

const shaders = /** @type {any} */ ({
  variant: { name: 'plain' },
  release() {},
  forget() {},
  sibling: () => shaders,
});

test('a backend leaves the device with the error scopes that it found', async () => {
  const { gpu, scopes } = fakeDevice();
  for (const settles of [true, false]) {
    const weights = new WebGpuBackend(gpu, shaders);
    await weights.settle();
    const run = /** @type {WebGpuBackend} */ (weights.sibling());
    if (settles) await run.settle();
    run.release();
    weights.release();
    assert.equal(scopes.length, 0);
  }
});

test('what cannot be had is told by the one that laid it out', async () => {
  const { gpu } = fakeDevice(5);
  const weights = new WebGpuBackend(gpu, shaders);
  await weights.settle();
  const run = /** @type {WebGpuBackend} */ (weights.sibling());
  await assert.rejects(run.settle(), /full/);
  await run.settle();
});
