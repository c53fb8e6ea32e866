/**
 * A classifier in two graphs: a tower that gives a vector an image, which other models may hold too, and a head of its
 * own that makes logits of it.
 */
import { Fault } from '../../faults.js';
import { BATCH_SIZES, pickBucket } from '../graphs/buckets.js';
import { makeFeeds } from '../graphs/feeds.js';
import { readFloats } from '../graphs/floats.js';
import { cacheGraphs, GraphSource } from '../graphs/model_graphs.js';
import { ImageTower } from './image_tower.js';

/** @typedef {import('../contract.js').Opening} Opening */

/**
 * @param {Opening} opening
 * @param {import('../images/pixels.js').Plan} plan
 */
export async function openTowerAndHead(opening, plan) {
  const source = new GraphSource(opening, 'vision_model');
  const tower = new ImageTower(opening, source, await source.readShapes(), plan);
  return new TowerAndHead(opening, tower);
}

class TowerAndHead {
  /**
   * @param {Opening} opening
   * @param {ImageTower} tower
   */
  constructor(opening, tower) {
    this.ort = opening.realm.ort;
    this.model = opening.model.name;
    this.tower = tower;
    this.isStatic = tower.isStatic;
    this.maxBatch = tower.maxBatch;
    this.width = 0;
    this.heads = cacheGraphs(opening, new GraphSource(opening, 'classification_head'));
  }

  get openedMs() {
    return this.tower.graphs.openedMs + this.heads.openedMs;
  }

  async openGraphs() {
    const tower = await this.tower.takeGraph();
    const [vector] = tower.outputMetadata;
    this.width = Number(vector?.isTensor ? vector.shape.at(-1) : 0);
    return [tower, await this.#takeHead(1)];
  }

  async release() {
    await Promise.all([this.tower.release(), this.heads.release()]);
  }

  /**
   * @param {Float32Array[]} batch prepared pixels
   * @param {import('../graphs/results.js').Stopwatch} watch
   * @param {number[]} buckets where the batch's size is noted
   * @param {import('../graphs/recall.js').Recall} recall
   */
  async compute(batch, watch, buckets, recall) {
    const { data, width } = await this.tower.embedPixels(batch, watch, recall);
    const rows = this.isStatic ? pickBucket(batch.length, BATCH_SIZES) : batch.length;
    buckets.push(rows);
    const padded = new Float32Array(rows * width);
    padded.set(data);
    const head = await this.#takeHead(rows, width);
    const values = { data: padded, dims: [rows, width] };
    const outputs = await watch.run(head, makeFeeds(this.ort, head, { image_embeds: values }));
    if (!outputs.logits)
      throw new Fault('ModelFault', this.model, `its head gives ${head.outputNames} but no logits`);
    return { logits: readFloats(outputs.logits), classes: outputs.logits.dims.at(-1) ?? 0 };
  }

  /** @param {number} rows @param {number} width */
  #takeHead(rows, width = this.width) {
    return this.heads.take({ image_embeds: [rows, width] });
  }
}
