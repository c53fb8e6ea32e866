/**
 * Numbers in [0, 1) that are the same for the same seed: Park and Miller's generator.
 * @param {number} seed
 */
export function seededRandom(seed) {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}
