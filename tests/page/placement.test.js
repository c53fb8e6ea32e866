import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listen, readPlacement, tapConsole } from '../../browser_runtime/page/engines/placement.js';

// As onnxruntime-web 1.31 printed them.
const HEAD =
  '2026-11-23 08:24:00.551059 [V:onnxruntime:, session_state.cc:1380 VerifyEachNodeIsAssignedToAnEp] ';
const WEBNN =
  '2026-11-23 08:24:00.353204 [I:onnxruntime:, webnn_execution_provider.cc:158 GetCapability] WebNNExecutionProvider::GetCapability, number of partitions supported by WebNN: 1 number of nodes in the graph: 8 number of nodes supported by WebNN: 6';

test('all nodes on one backend', () => {
  const lines = [`${HEAD} All nodes placed on [WebGpuExecutionProvider]. Number of nodes: 6`];
  assert.deepEqual(readPlacement(lines), { webgpu: 6 });
});

test('copies between devices are no nodes of the graph', () => {
  const lines = [
    `${HEAD} Node(s) placed on [CPUExecutionProvider]. Number of nodes: 1`,
    `${HEAD}   NonZero ()`,
    `${HEAD} Node(s) placed on [WebGpuExecutionProvider]. Number of nodes: 2`,
    `${HEAD}   Add ()`,
    `${HEAD}   MemcpyToHost (Memcpy)`,
  ];
  assert.deepEqual(readPlacement(lines), { wasm: 1, webgpu: 1 });
});

test("WebNN's fused nodes are counted by its own line", () => {
  const lines = [
    WEBNN,
    `${HEAD} Node(s) placed on [WebNNExecutionProvider]. Number of nodes: 2`,
    `${HEAD}   WEBNN_2372467054446597065_1 (WebNNExecutionProvider_WEBNN_2372467054446597065_1_0)`,
    `${HEAD}   MemcpyFromHost (Memcpy)`,
    `${HEAD} Node(s) placed on [CPUExecutionProvider]. Number of nodes: 2`,
    `${HEAD}   Shape ()`,
    `${HEAD}   Gather ()`,
  ];
  assert.deepEqual(readPlacement(lines), { webnn: 6, wasm: 2 });
});

test('a log that does not tell gives no placement', () => {
  assert.equal(readPlacement([]), null);
  assert.equal(readPlacement([`${HEAD} Node placements`]), null);
});

test('listening keeps the telling lines, and only while it lasts', async () => {
  /** @type {unknown[]} */
  const printed = [];
  const { error } = console;
  console.error = (...args) => printed.push(args[0]);
  try {
    tapConsole();
    const telling = `${HEAD} All nodes placed on [CPUExecutionProvider]. Number of nodes: 2`;
    const { made, lines } = await listen(async () => {
      console.error(telling);
      console.error(`${HEAD} Applying graph transformer`);
      console.error('somebody else');
      return 'session';
    });
    console.error(telling);
    assert.deepEqual([made, lines], ['session', [telling]]);
    assert.deepEqual(printed, ['somebody else', telling]);
  } finally {
    console.error = error;
  }
});
