import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallQueue } from '../../browser_runtime/page/calls.js';
import { Fault } from '../../browser_runtime/page/faults.js';

/** @typedef {import('../../browser_runtime/page/calls.js').Answer} Answer */
/** @typedef {import('../../browser_runtime/page/calls.js').Answerer} Answerer */

/** A queue, and its answers once there are `count` of them. @param {Answerer} answerer @param {number} count */
function openQueue(answerer, count) {
  /** @type {Answer[]} */
  const answers = [];
  /** @type {(answers: Answer[]) => void} */
  let finish = () => {};
  /** @type {Promise<Answer[]>} */
  const done = new Promise((resolve) => {
    finish = resolve;
  });
  const send = (/** @type {Answer} */ answer) => {
    answers.push(answer);
    if (answers.length === count) finish(answers);
  };
  return { queue: new CallQueue(answerer, send, 'chrome-1'), done };
}

/** @param {number} id */
const call = (id) => ({ id, kind: 'run' });
/** @param {Answer} answer */
const show = (answer) => [answer.id, answer.ok ? answer.value : answer.error.code];

test('calls are answered one after another, in order', async () => {
  /** @type {string[]} */
  const log = [];
  const { queue, done } = openQueue(async ({ id }) => {
    log.push(`start ${id}`);
    await null;
    log.push(`end ${id}`);
    return { id };
  }, 2);
  queue.push(call(1));
  queue.push(call(2));
  assert.deepEqual((await done).map(show), [
    [1, { id: 1 }],
    [2, { id: 2 }],
  ]);
  assert.deepEqual(log, ['start 1', 'end 1', 'start 2', 'end 2']);
});

test('a call that throws is answered with its error, and the next one runs', async () => {
  const { queue, done } = openQueue(async ({ id }) => {
    if (id === 1) throw new TypeError('x is undefined');
    return {};
  }, 2);
  queue.push(call(1));
  queue.push(call(2));
  assert.deepEqual((await done).map(show), [
    [1, 'PageFault'],
    [2, {}],
  ]);
});

test('a queued call that is cancelled never runs', async () => {
  /** @type {number[]} */
  const ran = [];
  const { queue, done } = openQueue(async ({ id }) => {
    ran.push(id);
    return {};
  }, 3);
  for (const id of [1, 2, 3]) queue.push(call(id));
  queue.cancel(2);
  assert.deepEqual((await done).map(show), [
    [1, {}],
    [2, 'InferenceError'],
    [3, {}],
  ]);
  assert.deepEqual(ran, [1, 3]);
});

test('a running call is told that it is cancelled', async () => {
  /** @type {CallQueue} */
  let queue;
  const opened = openQueue(async (_, isCancelled) => {
    const before = isCancelled();
    queue.cancel(1);
    return { before, after: isCancelled() };
  }, 1);
  queue = opened.queue;
  queue.push(call(1));
  assert.deepEqual((await opened.done).map(show), [[1, { before: false, after: true }]]);
});

test('after a drop nothing that was queued runs', async () => {
  const { queue, done } = openQueue(async () => ({}), 2);
  queue.push(call(1));
  queue.push(call(2));
  queue.cancelAll();
  assert.deepEqual((await done).map(show), [
    [1, 'InferenceError'],
    [2, 'InferenceError'],
  ]);
});

test('a value that cannot be sent is answered with an error', async () => {
  /** @type {Answer[]} */
  const sent = [];
  const send = (/** @type {Answer} */ answer) => {
    if (answer.ok) throw new Error('cannot travel');
    sent.push(answer);
  };
  const queue = new CallQueue(async () => ({}), send, 'chrome-1');
  queue.push(call(1));
  await new Promise(setImmediate);
  assert.deepEqual(sent.map(show), [[1, 'PageFault']]);
});

test('an answer after which the lane cannot go on says so, and ends it', async () => {
  const crash = new Fault('BackendFault', 'wasm', 'acme/bert', 'unreachable');
  crash.endsEngine = true;
  /** @type {unknown[]} */
  const seen = [];
  const send = (/** @type {Answer} */ answer) => seen.push(answer.ok || answer.last);
  const queue = new CallQueue(
    () => Promise.reject(crash),
    send,
    'chrome-1',
    () => seen.push('ended'),
  );
  queue.push(call(1));
  await new Promise(setImmediate);
  assert.deepEqual(seen, [true, 'ended']);
});
