/**
 * Sound to the log-mel picture that Whisper takes, by transformers.js' front end, without its work on silence.
 *
 * Whisper wants every sound padded with zeros to its whole window (Whisper's own is 30 s). A frame of zeros always gives the same
 * column, so it is computed once and repeated: a 2 s sound takes a tenth of the time, and the numbers are the same but
 * for the last bits of a product.
 */

/** @typedef {{data: Float32Array, dims: number[]}} Features `data` is [1, mels, frames] */
/** @typedef {{n_samples: number, n_fft: number, hop_length: number, nb_max_frames: number}} Framing */
/**
 * @typedef {((samples: Float32Array, options: {max_length: number}) => Promise<{input_features: any}>)
 *   & {config: Framing}} Extractor
 */

/**
 * The features of `samples`, as if they were padded with zeros to the model's whole window.
 * @param {Extractor} extractor
 * @param {Float32Array} samples at most a whole window of them
 * @returns {Promise<Features>}
 */
export async function extractLogMel(extractor, samples) {
  const { config } = extractor;
  const length = Math.min(coverSound(samples.length, config), config.n_samples);
  const { data, dims } = (await extractor(samples, { max_length: length })).input_features;
  return repeatLastFrame({ data, dims }, config.nb_max_frames);
}

/**
 * The same as a plan for the compute shader.
 * @param {any} extractor transformers.js'
 * @returns {import('../../engines/log_mel.js').Plan}
 */
export function planLogMel({ config, window }) {
  const { n_samples: length, n_fft: points, hop_length: hop, nb_max_frames: frames, mel_filters } = config;
  return { length, points, hop, frames, window, filters: mel_filters, decibels: false };
}

/**
 * Samples that cover the sound and end in two whole frames of zeros: the last one is mirrored at its end.
 * @param {number} count
 * @param {Framing} framing
 */
function coverSound(count, { n_fft, hop_length }) {
  return Math.ceil((count + 2 * n_fft) / hop_length) * hop_length;
}

/**
 * @param {Features} features
 * @param {number} frames
 * @returns {Features}
 */
function repeatLastFrame({ data, dims }, frames) {
  const [batch = 1, mels = 0, known = 0] = dims;
  if (known >= frames) return { data, dims };
  const whole = new Float32Array(batch * mels * frames);
  for (let mel = 0; mel < batch * mels; mel++) {
    const row = data.subarray(mel * known, (mel + 1) * known);
    whole.set(row, mel * frames);
    whole.fill(row.at(-1) ?? 0, mel * frames + known, (mel + 1) * frames);
  }
  return { data: whole, dims: [batch, mels, frames] };
}
