/** Numbers by chance that are the same at each run, everywhere. */

/**
 * A generator of numbers in [0, 1): Mulberry32.
 * @param {number} seed
 */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** About normal: the sum of twelve. @param {() => number} next */
export const normal = (next) => Array.from({ length: 12 }, next).reduce((sum, value) => sum + value, -6);
