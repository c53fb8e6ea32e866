/**
 * Sound to the log-mel picture that CLAP takes, in decibels, by transformers.js' front end.
 *
 * A sound never comes longer than the window: the worker cuts it, at no random place. What is shorter is repeated here.
 */

/**
 * @typedef {object} Plan under transformers.js' names
 * @property {number} sampling_rate
 * @property {number} feature_size
 * @property {number} nb_max_samples
 * @property {number} nb_max_frames
 * @property {'repeatpad' | 'repeat' | 'pad'} padding
 */
/** @typedef {(samples: Float32Array) => Promise<{input_features: {data: Float32Array, dims: number[]}}>} Extract */

export class DecibelExtractor {
  /**
   * @param {Extract} extract transformers.js' ClapFeatureExtractor, for a whole window
   * @param {Plan} plan
   */
  constructor(extract, plan) {
    this.extract = extract;
    this.plan = plan;
  }

  /** The same as a plan for the compute shader. @returns {import('../../engines/log_mel.js').Plan} */
  get shaderPlan() {
    const { config, window, mel_filters_slaney: filters } = /** @type {any} */ (this.extract);
    const { nb_max_samples: length, fft_window_size: points, hop_length: hop } = config;
    return { length, points, hop, frames: this.plan.nb_max_frames, window, filters, decibels: true };
  }

  /**
   * Features [frames, mels] of a sound.
   * @param {Float32Array} samples at most a whole window of them
   * @returns {Promise<Float32Array>}
   */
  async compute(samples) {
    return (await this.extract(fillWindow(samples, this.plan))).input_features.data;
  }
}

/**
 * @param {import('../contract.js').Realm} realm
 * @param {Plan} plan
 */
export async function openDecibels(realm, plan) {
  const { ClapFeatureExtractor } = await realm.openTransformers();
  return new DecibelExtractor(/** @type {any} */ (new ClapFeatureExtractor({ ...plan })), plan);
}

/**
 * The sound as often as it fits whole and then silence (repeatpad), repeated to the very end, or followed by silence.
 * @param {Float32Array} samples
 * @param {Plan} plan
 */
export function fillWindow(samples, { nb_max_samples: count, padding }) {
  const window = new Float32Array(count);
  const end = padding === 'pad' ? 1 : count - (padding === 'repeatpad' ? samples.length - 1 : 0);
  for (let at = 0; at < end; at += samples.length) window.set(samples.subarray(0, count - at), at);
  return window;
}
