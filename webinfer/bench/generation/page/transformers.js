// transformers.js by its own generate(): each in a Worker, whose onnxruntime-web has a number of threads of its own.
import { openWorker } from './workers.js';

/** @param {{folder: string, threads: number}} options */
export const openTransformers = (options) => openWorker('transformers_worker.js', options);
