/**
 * Images and texts -> vectors of one space, and scores of texts for an image: CLIP, SigLIP.
 */
import { GraphSource } from './graphs/model_graphs.js';
import { makeReady } from './graphs/ready.js';
import { drawSample } from './images/pixels.js';
import { Comparer, openTexts } from './towers/comparer.js';
import { ImageTower } from './towers/image_tower.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./towers/comparer.js').Settings & {pixels: import('./images/pixels.js').Plan}} Settings */

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<import('./towers/comparer.js').Output>>}
 */
export async function open(opening) {
  const settings = /** @type {Settings} */ (opening.model.settings);
  const source = new GraphSource(opening, 'vision_model');
  const images = new ImageTower(opening, source, await source.readShapes(), settings.pixels);
  const texts = await openTexts(opening, settings);
  const item = { array: drawSample(settings.pixels), texts: settings.sample.texts, facts: {} };
  return makeReady(opening, new Comparer(settings, images, texts, 'images'), {
    item,
    options: settings.example,
  });
}
