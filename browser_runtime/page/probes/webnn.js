import { openDevice } from '../engines/devices.js';
import { B, disprove, SIZE, W, X } from './problem.js';

/** What WebNN is here, proved by a graph of three operators on the lane's own context. */
export async function proveWebNn() {
  const { ml, mlDeviceType, accelerated } = await openDevice('webnn');
  const context = /** @type {MLContext} */ (ml);
  const reason = disprove(await computeRelu(context));
  const limits = context.opSupportLimits();
  // Beside the operators, the answer describes inputs, constants, outputs and sizes.
  const described = ['input', 'constant', 'output', 'maxTensorByteLength', 'preferredInputLayout'];
  const operators = Object.keys(limits).filter((name) => !described.includes(name)).length;
  return { reason, accelerated, device_type: mlDeviceType, operators };
}

/** @param {MLContext} context @returns {Promise<Float32Array>} */
async function computeRelu(context) {
  const row = /** @type {const} */ ({ dataType: 'float32', shape: [1, SIZE] });
  const graph = await buildRelu(context, row);
  const x = await context.createTensor({ ...row, writable: true });
  const y = await context.createTensor({ ...row, readable: true });
  try {
    context.writeTensor(x, X);
    context.dispatch(graph, { x }, { y });
    return new Float32Array(await context.readTensor(y));
  } finally {
    for (const resource of [x, y, graph]) resource.destroy?.();
  }
}

/** @param {MLContext} context @param {MLOperandDescriptor} row @returns {Promise<MLGraph>} */
function buildRelu(context, row) {
  const builder = new MLGraphBuilder(context);
  const x = builder.input('x', row);
  const w = builder.constant({ dataType: 'float32', shape: [SIZE, SIZE] }, W);
  const b = builder.constant(row, B);
  return builder.build({ y: builder.relu(builder.add(builder.matmul(x, w), b)) });
}
