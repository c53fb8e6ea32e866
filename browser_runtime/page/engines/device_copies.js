/**
 * Tensors on the GPU that outlive the session that made them: onnxruntime frees a session's tensors with the
 * session's own allocator, which is gone once it is released.
 */

/** @typedef {import('onnxruntime-common').Tensor} Tensor */

/**
 * A copy in a buffer of its own; the tensor is freed. One that is not on the GPU is given back as it is.
 * @param {typeof import('onnxruntime-common')} ort
 * @param {import('./devices.js').Device} device
 * @param {Tensor} tensor
 * @returns {Tensor}
 */
export function detachTensor(ort, { gpu }, tensor) {
  if (tensor.location !== 'gpu-buffer' || !gpu) return tensor;
  const source = /** @type {GPUBuffer} */ (/** @type {unknown} */ (tensor.gpuBuffer));
  const { size } = source;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = gpu.createBuffer({ size, usage });
  const encoder = gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, buffer, 0, size);
  gpu.queue.submit([encoder.finish()]);
  const options = /** @type {any} */ ({
    dataType: tensor.type,
    dims: tensor.dims,
    dispose: () => buffer.destroy(),
  });
  tensor.dispose();
  return ort.Tensor.fromGpuBuffer(/** @type {any} */ (buffer), options);
}
