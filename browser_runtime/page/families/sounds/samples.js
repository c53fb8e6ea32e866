/**
 * Sound items, checked; and one made up for warming up.
 */
import { Fault } from '../../faults.js';

// The rate of every Whisper model.
export const SAMPLE_RATE_HZ = 16000;

/**
 * The item's samples. Raises BadInput naming `field` when it is no float32 vector of finite numbers.
 * @param {any} item
 * @param {string} field
 * @returns {Float32Array}
 */
export function readSamples(item, field) {
  const allowed = 'a float32 vector of at least one sample, mono, at the rate of the model';
  if (!(item?.data instanceof Float32Array) || item.shape?.length !== 1 || item.data.length === 0) {
    throw new Fault('BadInput', field, `${item?.dtype ?? typeof item} of shape [${item?.shape}]`, allowed);
  }
  const at = item.data.findIndex((/** @type {number} */ sample) => !Number.isFinite(sample));
  if (at >= 0) throw new Fault('BadInput', field, `${item.data[at]} at sample ${at}`, 'of finite numbers');
  return item.data;
}

/** One second of a 440 Hz tone. */
export function makeTone(rateHz = SAMPLE_RATE_HZ) {
  const data = Float32Array.from({ length: rateHz }, (_, at) => Math.sin((at / rateHz) * 440 * 2 * Math.PI));
  return { dtype: 'float32', shape: [data.length], data };
}
