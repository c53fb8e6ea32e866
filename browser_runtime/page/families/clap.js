/**
 * Sounds and texts -> vectors of one space, and scores of texts for a sound: CLAP.
 */
import { GraphSource } from './graphs/model_graphs.js';
import { makeReady } from './graphs/ready.js';
import { openDecibels } from './sounds/decibels.js';
import { makeTone } from './sounds/samples.js';
import { Comparer, openTexts } from './towers/comparer.js';
import { SoundTower } from './towers/sound_tower.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./towers/comparer.js').Settings & {sounds: import('./sounds/decibels.js').Plan}} Settings */

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<import('./towers/comparer.js').Output>>}
 */
export async function open(opening) {
  const settings = /** @type {Settings} */ (opening.model.settings);
  const source = new GraphSource(opening, 'audio_model');
  const extractor = await openDecibels(opening.realm, settings.sounds);
  const sounds = new SoundTower(opening, source, await source.readShapes(), extractor);
  await sounds.openFrontEnds(opening);
  const texts = await openTexts(opening, settings);
  const item = { array: makeTone(settings.sounds.sampling_rate), texts: settings.sample.texts, facts: {} };
  return makeReady(opening, new Comparer(settings, sounds, texts, 'sounds'), {
    item,
    options: settings.example,
  });
}
