/** The shards of a packed model, streamed to where their tensors go. */
import { Fault } from '../../faults.js';

/** @typedef {import('./manifest.js').Shard} Shard */
/** @typedef {import('./manifest.js').Tensor} Tensor */
/** @typedef {AsyncIterable<Uint8Array> | Iterable<Uint8Array>} Chunks */
/** @typedef {(path: string, shard: Shard) => Chunks | Promise<Chunks>} FetchShard */
/** @typedef {(name: string, offset: number, bytes: Uint8Array) => void} Place */

/**
 * Piece by piece; one shard at a time is held besides, until its hash is the manifest's: what changed since the store
 * looked would answer wrongly and say nothing. Raises ModelFault where a shard is not what the manifest says.
 * @param {{tensors: Map<string, Tensor>, shards: Shard[]}} manifest
 * @param {FetchShard} fetchShard
 * @param {Place} place takes bytes of a tensor, from `offset` on
 * @param {string} model named in errors
 * @param {(loadedBytes: number, totalBytes: number) => void} [onProgress]
 */
export async function loadShards(manifest, fetchShard, place, model, onProgress = () => {}) {
  const total = manifest.shards.reduce((sum, shard) => sum + shard.size_bytes, 0);
  const held = new Uint8Array(Math.max(0, ...manifest.shards.map((shard) => shard.size_bytes)));
  let loaded = 0;
  for (const [index, shard] of manifest.shards.entries()) {
    const tensors = [...manifest.tensors].filter(([, tensor]) => tensor.shard === index);
    let offset = 0;
    for await (const chunk of await fetchShard(shard.path, shard)) {
      placeChunk(tensors, chunk, offset, place);
      if (offset < shard.size_bytes) held.set(chunk.subarray(0, shard.size_bytes - offset), offset);
      offset += chunk.length;
      onProgress(loaded + offset, total);
    }
    if (offset !== shard.size_bytes) {
      throw new Fault('ModelFault', model, `${shard.path} has ${offset} bytes, not ${shard.size_bytes}`);
    }
    if ((await hash(held.subarray(0, offset))) !== shard.sha256) {
      throw new Fault('ModelFault', model, `${shard.path} is damaged: its SHA-256 is not the manifest's`);
    }
    loaded += offset;
  }
}

/** @param {[string, Tensor][]} tensors @param {Uint8Array} chunk @param {number} at @param {Place} place */
function placeChunk(tensors, chunk, at, place) {
  for (const [name, { layout, offset }] of tensors) {
    const from = Math.max(offset, at);
    const to = Math.min(offset + layout.sizeBytes, at + chunk.length);
    if (from < to) place(name, from - offset, chunk.subarray(from - at, to - at));
  }
}

/** The SHA-256 in 64 hex digits. @param {Uint8Array<ArrayBuffer>} bytes */
async function hash(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
