/**
 * Images and prompts -> text: an image tower, whose rows stand in the place of an image's tokens, before a language model
 * that runs as in text_generation.js.
 */
import { Fault } from '../faults.js';
import { listAccelerations, NOT_WARMED, warmsUp } from './graphs/accelerations.js';
import { readFloats } from './graphs/floats.js';
import { GraphSource } from './graphs/model_graphs.js';
import { listParts } from './graphs/ready.js';
import { NO_RECALL } from './graphs/recall.js';
import { cutTiles, isImage, readPixels } from './images/pixels.js';
import { GeneratingEngine, SILENT } from './texts/generating.js';
import { openLanguageModel } from './texts/language_models.js';
import { ImageTower } from './towers/image_tower.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./contract.js').TokenStream} TokenStream */
/** @typedef {import('./texts/generating.js').Item} Item */
/** @typedef {import('./texts/generating.js').Output} Output */
/** @typedef {import('../engines/low_bits/generation.js').Picture} Picture */
/** @typedef {{ids: {data: Int32Array}, n_prompt: number, images: Image[], starts: number[]}} Asked as the worker sends it */
/** @typedef {{dtype: string, shape: number[], data: Uint8Array}} Image */
/** @typedef {{pixels: import('./images/pixels.js').Plan, tokens_per_tile: number, details: object}} Settings */
/** @typedef {{array: unknown, field: string}} Shown an image of the tower: one of the user's, or a tile of it */

const TOWER = 'vision_encoder';

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<Output>>}
 */
export async function open(opening) {
  const settings = /** @type {any} */ (opening.model.settings);
  const tower = await openTower(opening, settings);
  const opened = await openLanguageModel(opening).catch(async (error) => {
    await tower.release();
    throw error;
  });
  const engine = new GeneratingEngine(opened.model, await opening.realm.openDevice(opening.backend));
  const viewer = new Viewer(tower, engine, settings);
  try {
    const graph = await tower.takeGraph();
    const warm = warmsUp(opening) ? await engine.warmUp(opening.model, viewer.run) : NOT_WARMED;
    const kernels = new Set([opened.kernel, graph.kernel]);
    return {
      ready: {
        backend: opening.backend,
        kernel: [...kernels].join(' + '),
        load_ms: opened.loadMs + graph.loadMs,
        compile_ms: opened.compileMs + graph.compileMs,
        warmup_ms: warm.ms,
        warmup_runs: warm.runs,
        warmup_steady: warm.steady,
        weight_bytes: opened.weightBytes + graph.weightBytes,
        placement: addPlacements(opened.placement, graph.placement),
        parts: [...(opened.parts ?? []), ...listParts([graph])],
        acceleration: listAccelerations(opening, warm, [...kernels].join(' + ')),
        details: { ...opened.details, ...settings.details },
      },
      generates: true,
      run: viewer.run,
      release: () => viewer.release(),
    };
  } catch (error) {
    await viewer.release();
    throw error;
  }
}

/** @param {Opening} opening @param {Settings} settings */
async function openTower(opening, { pixels, tokens_per_tile: count }) {
  const source = new GraphSource(opening, TOWER);
  return new ImageTower(opening, source, await source.readShapes(), pixels, TOWER, (graph, outputs, rows) => {
    const features = outputs.image_features;
    const dims = features?.dims ?? [];
    const width = Number(dims.at(-1));
    const tokens = dims.slice(0, -1).reduce((product, size) => product * size, 1);
    if (!features || tokens !== rows * count) {
      const given = features ? `[${dims}]` : `${graph.outputNames} but no image_features`;
      throw new Fault('ModelFault', graph.model, `its tower gives ${given}, not ${count} rows an image`);
    }
    return { data: readFloats(features), width: count * width };
  });
}

class Viewer {
  /** @type {Map<string, number>} the number of each content: an image, or a tile of it */
  #numbers = new Map();

  /** @param {ImageTower} tower @param {GeneratingEngine} engine @param {Settings} settings */
  constructor(tower, engine, settings) {
    this.tower = tower;
    this.engine = engine;
    this.count = settings.tokens_per_tile;
    this.plan = settings.pixels;
  }

  /** @type {import('./contract.js').OpenedFamily<Output>['run']} */
  run = async (items, options, isCancelled, stream = SILENT, recall = NO_RECALL) => {
    const asked = items.map((item) => /** @type {Asked} */ (item));
    const started = performance.now();
    const shown = asked.map(({ images }, at) =>
      images.map((array, number) => this.#cut(array, `images[${at}].images[${number}]`)),
    );
    const cutMs = performance.now() - started;
    const seen = await this.engine.between(() => this.tower.embed(shown.flat(2), isCancelled, recall));
    const left = [...seen.results];
    const prepared = [];
    for (const [at, item] of asked.entries()) {
      const tiles = shown[at] ?? [];
      prepared.push(await this.#prepare(item, tiles, left.splice(0, tiles.flat().length)));
    }
    const answer = await this.engine.run(prepared, options, isCancelled, stream);
    const timings = { ...seen.timings, preprocess_ms: seen.timings.preprocess_ms + cutMs };
    return {
      ...answer,
      timings: {
        preprocess_ms: answer.timings.preprocess_ms + timings.preprocess_ms,
        compute_ms: answer.timings.compute_ms + timings.compute_ms,
        readback_ms: answer.timings.readback_ms + timings.readback_ms,
        postprocess_ms: answer.timings.postprocess_ms + timings.postprocess_ms,
      },
      details: { ...answer.details, image_ms: timings.preprocess_ms + timings.compute_ms },
    };
  };

  /**
   * The tiles of an image; what is no image is left to the tower to refuse.
   * @param {Image} array
   * @param {string} field
   * @returns {Shown[]}
   */
  #cut(array, field) {
    if (!this.plan.tiles || !isImage(array)) return [{ array, field }];
    return cutTiles(readPixels(array, field), this.plan).map(({ data, height, width, channels }) => {
      return { array: { dtype: 'uint8', shape: [height, width, channels], data }, field };
    });
  }

  /**
   * @param {Asked} item
   * @param {Shown[][]} tiles of each of its images
   * @param {import('./contract.js').Result<Float32Array>[]} rows of all its tiles
   * @returns {Promise<Item>}
   */
  async #prepare({ ids, n_prompt, images, starts }, tiles, rows) {
    /** @type {Picture[]} */
    const pictures = [];
    for (const [at, image] of images.entries()) {
      const key = await hashImage(image);
      for (const tile of (tiles[at] ?? []).keys()) {
        const found = /** @type {import('./contract.js').Result<Float32Array>} */ (rows[pictures.length]);
        if (!found.ok) return { ids, n_prompt, error: found.error };
        const width = found.output.length / this.count;
        const cut = (/** @type {number} */ row) => found.output.subarray(row * width, (row + 1) * width);
        pictures.push({
          start: Number(starts[pictures.length]),
          number: this.#numberOf(`${key} ${tile}`),
          rows: Array.from({ length: this.count }, (_, row) => cut(row)),
        });
      }
    }
    if (pictures.length !== starts.length) {
      throw new Error(`${starts.length} places in the prompt for ${pictures.length} images of the tower`);
    }
    return { ids, n_prompt, pictures };
  }

  /** The number of a content. @param {string} key */
  #numberOf(key) {
    const number = this.#numbers.get(key) ?? this.#numbers.size;
    this.#numbers.set(key, number);
    return number;
  }

  async release() {
    await Promise.all([this.tower.release(), this.engine.release()]);
  }
}

/** A name for an image, of its shape and every byte. @param {Image} image */
async function hashImage({ shape, data }) {
  const hash = await crypto.subtle.digest('SHA-256', /** @type {Uint8Array<ArrayBuffer>} */ (data));
  return `${shape} ${new Uint32Array(hash).join()}`;
}

/**
 * Nodes by backend of both; null where one does not tell, as our own kernels do not.
 * @param {import('./contract.js').Ready['placement']} one
 * @param {import('./contract.js').Ready['placement']} other
 */
function addPlacements(one, other) {
  if (!one || !other) return null;
  const total = { ...one };
  for (const [backend, n] of Object.entries(other)) {
    const name = /** @type {import('./contract.js').Backend} */ (backend);
    total[name] = (total[name] ?? 0) + n;
  }
  return total;
}
