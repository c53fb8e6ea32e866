import { awaitGpu, findAdapter, openDevice } from '../engines/devices.js';
import { B, disprove, SIZE, W, X } from './problem.js';

const SHADER = new URL('./relu.wgsl', import.meta.url);
// What decides whether a model or a kernel fits; the other thirty limits tell no reader anything.
const LIMITS = /** @type {const} */ ([
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxStorageBuffersPerShaderStage',
]);

/** What WebGPU is here, proved by a compute shader on the lane's own device. */
export async function proveWebGpu() {
  const adapter = await findAdapter();
  const device = await openDevice('webgpu');
  const gpu = /** @type {GPUDevice} */ (device.gpu);
  const reason = disprove(await awaitGpu(gpu, computeRelu(gpu)));
  const limits = Object.fromEntries(LIMITS.map((limit) => [limit, adapter.limits[limit]]));
  return { reason, adapter: device.adapter, features: [...adapter.features].sort(), limits };
}

/** @param {GPUDevice} gpu @returns {Promise<Float32Array>} */
async function computeRelu(gpu) {
  const code = await (await fetch(SHADER)).text();
  const module = gpu.createShaderModule({ code });
  const pipeline = await gpu.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const buffers = [X, W, B, new Float32Array(SIZE)].map((data) => fill(gpu, data));
  const out = gpu.createBuffer({ size: SIZE * 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  try {
    dispatch(gpu, pipeline, buffers, out);
    await out.mapAsync(GPUMapMode.READ);
    return new Float32Array(out.getMappedRange()).slice();
  } finally {
    for (const buffer of [...buffers, out]) buffer.destroy();
  }
}

/** @param {GPUDevice} gpu @param {Float32Array<ArrayBuffer>} data */
function fill(gpu, data) {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  const buffer = gpu.createBuffer({ size: data.byteLength, usage });
  gpu.queue.writeBuffer(buffer, 0, data);
  return buffer;
}

/** @param {GPUDevice} gpu @param {GPUComputePipeline} pipeline @param {GPUBuffer[]} buffers @param {GPUBuffer} out */
function dispatch(gpu, pipeline, buffers, out) {
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(1);
  pass.end();
  const answer = /** @type {GPUBuffer} */ (buffers.at(-1));
  encoder.copyBufferToBuffer(answer, 0, out, 0, SIZE * 4);
  gpu.queue.submit([encoder.finish()]);
}
