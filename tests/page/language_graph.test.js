import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readWeightBits } from '../../browser_runtime/page/families/graphs/weight_bits.js';
import { LanguageGraph } from '../../browser_runtime/page/families/texts/language_graph.js';
import { Fault } from '../../browser_runtime/page/faults.js';

const DATA = new URL('../data/language_graphs/', import.meta.url);
const MODULE = new URL(
  '../../browser_runtime/page/node_modules/onnxruntime-web/dist/ort.node.min.mjs',
  import.meta.url,
);
const ort = await import(MODULE.href);
// Greedy tokens, by transformers (tests/data/make_language_graphs.py).
const { prompts, answers } = JSON.parse(readFileSync(new URL('answers.json', DATA), 'utf8'));
const REQUESTS = prompts.map((/** @type {string} */ text) => ({
  tokens: [...new TextEncoder().encode(text)],
  maxNewTokens: 24,
}));

/** A graph of onnxruntime-web itself; counts what it is asked to do. @param {string} file @param {number} slots */
async function open(file, slots = 2) {
  const bytes = new Uint8Array(readFileSync(new URL(file, DATA)));
  const session = await ort.InferenceSession.create(bytes);
  const graph = { model: 'tiny', inputMetadata: session.inputMetadata, outputNames: session.outputNames };
  const counts = { runs: 0, released: 0 };
  const run = (/** @type {any} */ feeds) => {
    counts.runs += 1;
    return session.run(feeds);
  };
  const release = async () => {
    counts.released += 1;
  };
  const sizes = { context: 192, slots, weightBits: readWeightBits(bytes) };
  const whole = /** @type {any} */ ({ ...graph, weightBytes: bytes.length, run, release });
  return { model: new LanguageGraph(whole, ort, sizes), counts, graph: whole };
}

for (const [kind, file] of [
  ['llama', 'llama.onnx'],
  ['qwen2', 'qwen2_merged.onnx'],
]) {
  test(`${file}: prompts that take turns get the tokens of transformers`, async () => {
    const { model, counts } = await open(String(file));
    /** @type {import('../../browser_runtime/page/engines/low_bits/generation.js').Generation[]} */
    const generations = REQUESTS.map((/** @type {any} */ request) => model.open(request));
    const order = [];
    while (generations.some(({ finish }) => finish === null)) {
      for (const { generation } of await model.step()) order.push(generations.indexOf(generation));
    }
    assert.deepEqual(
      generations.map(({ generated }) => generated),
      answers[String(kind)],
    );
    assert.deepEqual(order.slice(0, 6), kind === 'llama' ? [0, 0, 1, 0, 1, 0] : [0, 1, 0, 1, 0, 1]);
    // 90 tokens are two pieces where the graph takes pieces.
    assert.equal(counts.runs, 48 + (kind === 'llama' ? 1 : 0));
    assert.deepEqual(model.facts.weight_bits, [32]);
    await model.release();
    assert.equal(counts.released, 1);
  });
}

test('one that is cancelled costs nothing more, and the next in the queue takes its place', async () => {
  const { model, counts } = await open('llama.onnx', 1);
  const [first, second] = [model.open(REQUESTS[0]), model.open({ ...REQUESTS[0], maxNewTokens: 1 })];
  await model.step();
  first.cancel();
  const events = await model.step();
  assert.deepEqual(
    events.map(({ generation, finish }) => [generation === first, finish]),
    [
      [true, 'cancelled'],
      [false, 'length'],
    ],
  );
  assert.deepEqual(second.generated, [answers.llama[0][0]]);
  assert.equal(counts.runs, 2);
});

test('a fault of the graph is that of one text, any other ends all', async () => {
  const { model, graph } = await open('llama.onnx');
  const { run } = graph;
  const [first, second] = [model.open(REQUESTS[0]), model.open({ ...REQUESTS[0], maxNewTokens: 1 })];
  graph.run = async () => {
    throw new Fault('ModelFault', 'tiny', 'no');
  };
  const [failed] = await model.step();
  assert.deepEqual(
    [failed?.generation === first, failed?.finish, first.error?.code],
    [true, 'failed', 'ModelFault'],
  );
  graph.run = async () => {
    throw new Fault('DeviceLost', 'tiny', 'gone');
  };
  await assert.rejects(model.step(), { code: 'DeviceLost' });
  graph.run = run;
  second.cancel();
  const ended = await model.step();
  assert.deepEqual(
    ended.map(({ finish }) => finish),
    ['cancelled'],
  );
});

test('prompts that are empty or fill the model are refused', async () => {
  const { model } = await open('llama.onnx');
  assert.throws(() => model.open({ tokens: [], maxNewTokens: 1 }), { code: 'BadInput' });
  assert.throws(() => model.open({ tokens: new Array(192).fill(1), maxNewTokens: 1 }), { code: 'BadInput' });
});
