/**
 * What an opened graph must be before it may run.
 */
import { Fault } from '../faults.js';

/** True for a dimension whose size is known. @param {number | string} size */
const isSize = (size) => typeof size === 'number' && size >= 0;

/**
 * Raises Unsupported when a WebNN input's size is open: short inputs were 12 times slower so.
 * @param {import('onnxruntime-common').InferenceSession} session
 * @param {import('./runtimes.js').Backend} backend
 */
export function checkShapes({ inputMetadata }, backend) {
  if (backend !== 'webnn') return;
  for (const input of inputMetadata) {
    const free = input.isTensor ? input.shape.filter((size) => !isSize(size)) : [];
    const told = `input ${input.name} leaves ${free.join(', ')} open`;
    if (free.length > 0) throw new Fault('Unsupported', 'a WebNN graph with free dimensions', told);
  }
}

/**
 * Raises Unsupported when not one node runs on the backend that was asked for.
 * @param {import('./placement.js').Placement | null} placement
 * @param {import('./runtimes.js').Backend} backend
 */
export function checkPlacement(placement, backend) {
  if (!placement || placement[backend]) return;
  throw new Fault('Unsupported', backend, 'onnxruntime placed no node of this graph there');
}
