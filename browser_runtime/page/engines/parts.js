/**
 * The parts of this lane's models, each held once by its content: sessions of onnxruntime, weights of our own kernels.
 */
import { SharedParts } from './shared_parts.js';

/** @typedef {import('./devices.js').Device['backend']} Backend */
/**
 * @typedef {object} Part
 * @property {number} sizeBytes its weights
 * @property {() => Promise<unknown>} free
 */
/**
 * @template {Part} Opened
 * @typedef {import('./shared_parts.js').Lease<Opened>} Lease
 */

const parts = new SharedParts(
  async (/** @type {Part} */ part) => {
    await part.free();
  },
  ({ sizeBytes }) => sizeBytes,
);

/**
 * A name that is equal for parts that are the same to the bit, on the same device; null for one that is shared with nobody.
 * @param {Backend} backend
 * @param {string | undefined} content the hash of its files
 * @param {string[]} how it is opened, as far as that makes it another part
 */
export const namePart = (backend, content, ...how) => (content ? [backend, content, ...how].join('|') : null);

/**
 * A use of the part of that name, opened by the first who takes it. Raises what `open` raises.
 * @template {Part} Opened
 * @param {string | null} name
 * @param {() => Promise<Opened>} open
 * @returns {Promise<Lease<Opened>>}
 */
export async function takePart(name, open) {
  if (name !== null) return /** @type {Promise<Lease<Opened>>} */ (parts.take(name, open));
  const part = await open();
  const release = async () => {
    await part.free();
  };
  return { part, isShared: false, release };
}

/** True where a part of that content is open. @param {Backend} backend @param {string | undefined} content */
export const holdsPart = (backend, content) => content !== undefined && parts.holds(`${backend}|${content}|`);

/** The parts that models of this lane hold, and their uses. */
export const countParts = () => parts.counts;

/** Gives out no part of a lost device any more. @param {Backend} backend */
export const forgetParts = (backend) => parts.forget(`${backend}|`);
