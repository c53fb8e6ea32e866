/**
 * Prompts -> text, token by token. Calls run side by side: the prompts of all of them are stepped together, and leave when
 * they are done.
 */
import { listAccelerations, NOT_WARMED, warmsUp } from './graphs/accelerations.js';
import { GeneratingEngine, SILENT } from './texts/generating.js';
import { openLanguageModel } from './texts/language_models.js';

/** @typedef {import('./contract.js').Opening} Opening */
/** @typedef {import('./texts/generating.js').Output} Output */

/**
 * @param {Opening} opening
 * @returns {Promise<import('./contract.js').OpenedFamily<Output>>}
 */
export async function open(opening) {
  const { model, kernel, loadMs, compileMs, weightBytes, placement, parts, details } =
    await openLanguageModel(opening);
  const device = await opening.realm.openDevice(opening.backend);
  const engine = new GeneratingEngine(model, device);
  try {
    const warm = warmsUp(opening) ? await engine.warmUp(opening.model) : NOT_WARMED;
    return {
      ready: {
        backend: opening.backend,
        kernel,
        load_ms: loadMs,
        compile_ms: compileMs,
        warmup_ms: warm.ms,
        warmup_runs: warm.runs,
        warmup_steady: warm.steady,
        weight_bytes: weightBytes,
        placement,
        acceleration: listAccelerations(opening, warm, kernel),
        parts: parts ?? [],
        details,
      },
      generates: true,
      run: (items, chosen, isCancelled, stream = SILENT) => engine.run(items, chosen, isCancelled, stream),
      score: (tokens, start) => engine.score(tokens, start),
      release: () => engine.release(),
    };
  } catch (error) {
    await engine.release();
    throw error;
  }
}
