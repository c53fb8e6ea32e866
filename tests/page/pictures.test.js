import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LanguageGraph } from '../../browser_runtime/page/families/texts/language_graph.js';
import { readRow } from '../../browser_runtime/page/kernels/twins/matrices.js';
import { answer, finish, fixture, open, shard } from './tiny_model.js';

const LLAVA = new URL('../../browser_runtime/models/builtin/digits-llava/', import.meta.url);
const MODULE = new URL(
  '../../browser_runtime/page/node_modules/onnxruntime-web/dist/ort.node.min.mjs',
  import.meta.url,
);
const ort = await import(MODULE.href);

/** The rows that the embedding of the tiny model has for tokens. @param {any} model @param {number[]} tokens */
function rowsOf(model, tokens) {
  const { layout, offset } = model.tensors.get('embedding');
  const bytes = shard.subarray(offset, offset + layout.sizeBytes);
  return tokens.map((token) => {
    const row = new Float32Array(layout.columns);
    readRow(bytes, layout, token, row);
    return row;
  });
}

const { readManifest } = await import('../../browser_runtime/page/engines/low_bits/manifest.js');
const manifest = readManifest(fixture.manifest, 'tiny');

test('rows in the place of tokens are computed as the tokens are whose rows they are', async () => {
  const plain = await answer(await open(), fixture.prompt);
  const prompt = fixture.prompt.slice();
  const rows = rowsOf(manifest, prompt.slice(5, 75));
  // Another token stands for the picture.
  prompt.fill(0, 5, 75);
  const model = await open();
  const shown = model.open({ tokens: prompt, maxNewTokens: 24, pictures: [{ start: 5, number: 0, rows }] });
  await finish(model);
  assert.deepEqual(shown.generated, plain.generated);
});

test('a beginning is taken over by a prompt with the same picture, and by no other', async () => {
  const model = await open({ slots: 1 });
  const rows = rowsOf(manifest, fixture.prompt.slice(0, 70));
  const ask = async (/** @type {number} */ number) => {
    const tokens = [1, ...Array(70).fill(0), 2, 3];
    const generation = model.open({ tokens, maxNewTokens: 2, pictures: [{ start: 1, number, rows }] });
    await finish(model);
    return generation.reused;
  };
  assert.equal(await ask(0), 0);
  assert.equal(await ask(0), 72);
  assert.equal(await ask(1), 1);
});

/** @param {string} name */
async function openGraph(name) {
  const bytes = new Uint8Array(readFileSync(new URL(`onnx/${name}.onnx`, LLAVA)));
  const session = await ort.InferenceSession.create(bytes);
  const { inputMetadata, outputNames } = session;
  const run = (/** @type {any} */ feeds) => session.run(feeds);
  const release = async () => {};
  return /** @type {any} */ ({
    ...{ model: 'digits-llava', inputMetadata, outputNames },
    ...{ weightBytes: bytes.length, run, release },
  });
}

test('a graph that takes rows gets those of tokens, and of pictures in their places', async () => {
  const [decoder, embedding] = [await openGraph('decoder_model_merged'), await openGraph('embed_tokens')];
  const sizes = { context: 512, slots: 2, weightBits: [32] };
  const model = new LanguageGraph(decoder, ort, sizes, embedding);
  const tokens = Array.from({ length: 90 }, (_, at) => (at * 7 + 11) % 384);
  const ids = new ort.Tensor('int64', BigInt64Array.from(tokens.slice(10, 80), BigInt), [1, 70]);
  const { data } = (await embedding.run({ input_ids: ids })).inputs_embeds;
  const rows = Array.from({ length: 70 }, (_, at) => data.slice(at * 96, (at + 1) * 96));
  const shown = [...tokens.slice(0, 10), ...Array(70).fill(0), ...tokens.slice(80)];
  const generations = [
    model.open({ tokens, maxNewTokens: 8 }),
    model.open({ tokens: shown, maxNewTokens: 8, pictures: [{ start: 10, number: 3, rows }] }),
  ];
  while (generations.some((generation) => generation.finish === null)) await model.step();
  assert.equal(generations[0]?.generated.length, 8);
  assert.deepEqual(generations[1]?.generated, generations[0]?.generated);
  assert.equal(model.facts.weight_bytes, decoder.weightBytes + embedding.weightBytes);
});

test('a picture whose rows are not as long as those of tokens is told of', async () => {
  const [decoder, embedding] = [await openGraph('decoder_model_merged'), await openGraph('embed_tokens')];
  const model = new LanguageGraph(decoder, ort, { context: 512, slots: 1, weightBits: [32] }, embedding);
  const rows = [new Float32Array(95)];
  const generation = model.open({
    tokens: [1, 0],
    maxNewTokens: 1,
    pictures: [{ start: 1, number: 0, rows }],
  });
  await model.step();
  assert.match(generation.error?.args.join(' ') ?? '', /96 numbers, those of images 95/);
});
