import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseBuild } from '../../browser_runtime/page/engines/runtimes.js';
import { Models } from '../../browser_runtime/page/models.js';
import { disprove, solve } from '../../browser_runtime/page/probes/problem.js';
import { examine } from '../../browser_runtime/page/probes.js';
import { delayMs } from '../../browser_runtime/page/socket.js';

test('the first attempts to come back fall within the second that the worker waits', () => {
  const worst = [0, 1, 2].reduce((sum, attempt) => sum + delayMs(attempt, 1), 0);
  assert.ok(worst < 1000, `${worst} ms`);
  assert.equal(delayMs(30, 1), 2000);
  assert.ok(delayMs(3, 0) < delayMs(3, 1));
});

test('each backend has the build that serves it', () => {
  assert.equal(chooseBuild('wasm', true), 'wasm');
  assert.equal(chooseBuild('webgpu', true), 'jspi');
  assert.equal(chooseBuild('webnn', false), 'asyncify');
});

test('the proof is an exact problem with a clipped entry', () => {
  assert.ok(solve().every(Number.isInteger));
  assert.equal(solve()[1], 0);
  assert.equal(disprove(solve()), '');
  assert.match(disprove([0, 0, 0, 0]), /is right/);
  assert.match(disprove([]), /is right/);
});

test('a backend counts only when its proof held', async () => {
  const right = await examine(true, async () => ({ reason: '', simd: true }));
  assert.deepEqual([right.supported, right.proved, Reflect.get(right, 'simd')], [true, true, true]);
  const wrong = await examine(true, async () => ({ reason: 'it computed [0]' }));
  assert.equal(wrong.proved, false);
  const missing = await examine(false, async () => assert.fail('must not be asked'));
  assert.deepEqual([missing.supported, missing.proved], [false, false]);
});

test('a proof that throws or hangs gives its reason', async () => {
  const thrown = await examine(true, async () => {
    throw new Error('no adapter');
  });
  assert.equal(thrown.reason, 'Error: no adapter');
  const hung = await examine(true, () => new Promise(() => {}), 5);
  assert.match(hung.reason, /no answer within/);
});

for (const [name, call, code] of /** @type {const} */ ([
  ['a family without an engine', { family: 'haruspicy', backend: 'wasm' }, 'Unsupported'],
  ["a name of Object's own", { family: 'constructor', backend: 'wasm' }, 'Unsupported'],
  ['a backend that is none', { family: 'vision', backend: 'cuda' }, 'BadInput'],
])) {
  test(`refuses ${name}`, async (context) => {
    context.mock.method(globalThis, 'fetch', async () => new Response('', { status: 404 }));
    await assert.rejects(new Models('s').load({ key: 'k', ...call }), { code });
  });
}

test('a page that cannot load a module any more does not lack its family', async (context) => {
  const lost = new TypeError('Failed to fetch');
  context.mock.method(globalThis, 'fetch', () => Promise.reject(lost));
  await assert.rejects(new Models('s').load({ key: 'k', family: 'haruspicy', backend: 'wasm' }), lost);
});

test('a model that is not loaded cannot run, and need not be unloaded', async () => {
  const models = new Models('chrome-1');
  await assert.rejects(
    models.run({ key: 'k', items: [] }, () => false),
    { code: 'BadRequest' },
  );
  assert.deepEqual(await models.unload({ key: 'k' }), {});
});
