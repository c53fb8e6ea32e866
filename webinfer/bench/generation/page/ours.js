// Our engine as a lane runs it: its family's module in a Worker.
import { openWorker } from './workers.js';

/** @param {{url: string}} options */
export const openOurs = (options) => openWorker('ours_worker.js', options);
