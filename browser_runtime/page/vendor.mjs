/**
 * Fills vendor/ with the npm packages that the page loads and with the kernels of kernels/wasm, assembled; and
 * vendor/manifest.json with what they are.
 *
 *   node vendor.mjs          does nothing when the manifest already matches package-lock.json, the kernels and this file
 *   node vendor.mjs --force  copies again
 *
 * Workers know no import map, so the two bare imports of transformers.js become relative paths here:
 * one copy of it for each onnxruntime-web build, so that both parts of a lane share one runtime.
 */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assemble, kernelNames, SOURCES } from './kernels/assemble.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const MODULES = join(HERE, 'node_modules');
const DIST = join(MODULES, 'onnxruntime-web/dist');
const VENDOR = join(HERE, 'vendor');
const PACKAGES = ['@huggingface/transformers', 'onnxruntime-web', 'onnxruntime-common', 'wabt'];

// What is bundled in them, and the file under licenses/ where a package carries none.
const LICENSES = [
  { source: 'node_modules/@huggingface/transformers/LICENSE', file: 'transformers.txt' },
  { source: 'node_modules/@huggingface/jinja/LICENSE', file: 'jinja.txt' },
  { source: 'node_modules/@huggingface/tokenizers/LICENSE', file: 'tokenizers.txt' },
  { source: 'licenses/onnxruntime.txt', file: 'onnxruntime.txt' },
  { source: 'licenses/onnxruntime-third-party.txt', file: 'onnxruntime-third-party.txt' },
];

// Which build serves which backend: see engines/runtimes.js.
const BUILDS = [
  { name: 'wasm', script: 'ort.wasm.min.mjs', binary: 'ort-wasm-simd-threaded' },
  { name: 'jspi', script: 'ort.jspi.min.mjs', binary: 'ort-wasm-simd-threaded.jspi' },
  { name: 'asyncify', script: 'ort.webgpu.min.mjs', binary: 'ort-wasm-simd-threaded.asyncify' },
];

/** @param {import('node:crypto').BinaryLike} bytes */
const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** The versions that package-lock.json pins, the hashes of this script and of the kernels: equal stamps, equal vendor/. */
async function readStamp() {
  const lock = JSON.parse(await readFile(join(HERE, 'package-lock.json'), 'utf8'));
  const versions = Object.fromEntries(
    PACKAGES.map((name) => [name, lock.packages[`node_modules/${name}`].version]),
  );
  return {
    versions,
    recipe: hash(await readFile(fileURLToPath(import.meta.url))),
    kernels: await hashKernels(),
  };
}

/** The hash of every file that the kernels are assembled from, by its path from here. */
async function hashKernels() {
  const sources = (await kernelNames()).map((name) => join(SOURCES, `${name}.wat`));
  const paths = [...sources, join(HERE, 'kernels/assemble.mjs')];
  const entries = paths.map(async (path) => [relative(HERE, path), hash(await readFile(path))]);
  return Object.fromEntries(await Promise.all(entries));
}

/** Raises when node_modules holds another version than the lock file: what is served must be what is pinned. */
async function checkInstalled(/** @type {Record<string, string>} */ versions) {
  for (const [name, pinned] of Object.entries(versions)) {
    const { version } = JSON.parse(await readFile(join(MODULES, name, 'package.json'), 'utf8'));
    if (version !== pinned) {
      throw new Error(`${name} is ${version} in node_modules but ${pinned} in package-lock.json: npm ci`);
    }
  }
}

/** True when vendor/ was filled from `stamp` and every file is still there in its size. */
async function isFresh(/** @type {Awaited<ReturnType<typeof readStamp>>} */ stamp) {
  const manifest = await readFile(join(VENDOR, 'manifest.json'), 'utf8').then(JSON.parse, () => null);
  if (!manifest || manifest.recipe !== stamp.recipe) return false;
  if (JSON.stringify(manifest.versions) !== JSON.stringify(stamp.versions)) return false;
  if (JSON.stringify(manifest.kernels) !== JSON.stringify(stamp.kernels)) return false;
  const sizes = await Promise.all(
    Object.keys(manifest.files).map((path) =>
      stat(join(VENDOR, path)).then(
        (found) => found.size,
        () => -1,
      ),
    ),
  );
  const expected = Object.values(manifest.files).map((file) => file.size_bytes);
  return sizes.every((size, index) => size === expected[index]);
}

/** transformers.js with its bare imports bound to the build's script beside it. */
async function bindTransformers(/** @type {string} */ script) {
  const source = join(MODULES, '@huggingface/transformers/dist/transformers.web.min.js');
  const text = await readFile(source, 'utf8');
  const bound = text
    .replace('from"onnxruntime-web/webgpu"', `from"./${script}"`)
    .replace('from"onnxruntime-common"', `from"./${script}"`);
  const left = bound.match(/from"[^."/][^"]*"/);
  if (left) throw new Error(`transformers.js has an import that vendor.mjs does not know: ${left[0]}`);
  return bound.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n');
}

/**
 * The emscripten glue with its one `new Function` replaced by a closure that does the same, so that WebNN
 * works under a Content-Security-Policy without 'unsafe-eval'. Emscripten's own -sDYNAMIC_EXECUTION=0 does
 * likewise; onnxruntime-web is not built with it. `kind`: 0 call, 1 call a method, 2 construct, 3 cast.
 */
function removeEval(/** @type {string} */ glue, /** @type {string} */ file) {
  const generated = /(\w+)=\(?new Function\(Object\.keys\((\w+)\),\w+\)\)?\(\.\.\.Object\.values\(\2\)\);/g;
  const found = [...glue.matchAll(generated)];
  const kind = found[0]?.[1];
  if (!kind) return checkNoEval(glue, file);
  if (found.length !== 1 || !glue.includes(`switch(${kind}){case 0:`)) {
    throw new Error(`${file} generates code in a way that vendor.mjs does not know`);
  }
  return checkNoEval(glue.replace(generated, '$1=callWithoutEval($1,$2);') + CALL_WITHOUT_EVAL, file);
}

const CALL_WITHOUT_EVAL = `
function callWithoutEval(kind, scope) {
  const readers = [];
  while (scope['argFromPtr' + readers.length]) readers.push(scope['argFromPtr' + readers.length]);
  return (handle, methodName, destructorsRef, pointer) => {
    const args = readers.map((read, index) => read(pointer + 8 * index));
    let value;
    if (kind === 0) value = scope.toValue(handle)(...args);
    else if (kind === 1) value = scope.toValue(handle)[scope.getStringOrSymbol(methodName)](...args);
    else if (kind === 2) value = new (scope.toValue(handle))(...args);
    else value = args[0];
    if (scope.toReturnWire) return scope.emval_returnValue(scope.toReturnWire, destructorsRef, value);
  };
}
`;

function checkNoEval(/** @type {string} */ glue, /** @type {string} */ file) {
  if (/new Function\(|\beval\(/.test(glue)) throw new Error(`${file} still generates code from text`);
  return glue;
}

/** Copies one build and the transformers.js bound to it; the paths written, relative to vendor/. */
async function copyBuild(/** @type {{name: string, script: string, binary: string}} */ build) {
  const files = [build.script, `${build.binary}.mjs`, `${build.binary}.wasm`];
  await mkdir(join(VENDOR, build.name), { recursive: true });
  for (const file of [build.script, `${build.binary}.wasm`]) {
    await copyFile(join(DIST, file), join(VENDOR, build.name, file));
  }
  const glue = removeEval(await readFile(join(DIST, `${build.binary}.mjs`), 'utf8'), `${build.binary}.mjs`);
  await writeFile(join(VENDOR, build.name, `${build.binary}.mjs`), glue);
  await writeFile(join(VENDOR, build.name, 'transformers.js'), await bindTransformers(build.script));
  return [...files, 'transformers.js'].map((file) => `${build.name}/${file}`);
}

/** Assembles every kernel for browsers with relaxed SIMD and without; the paths written, relative to vendor/. */
async function writeKernels() {
  const names = await kernelNames();
  const paths = [];
  for (const variant of /** @type {const} */ (['relaxed', 'simd'])) {
    await mkdir(join(VENDOR, 'kernels', variant), { recursive: true });
    for (const name of names) {
      const path = `kernels/${variant}/${name}.wasm`;
      await writeFile(join(VENDOR, path), await assemble(name, variant));
      paths.push(path);
    }
  }
  return paths;
}

/** Copies the licences of what was copied; the paths written, relative to vendor/. */
async function copyLicenses() {
  await mkdir(join(VENDOR, 'licenses'), { recursive: true });
  const copies = LICENSES.map(async ({ source, file }) => {
    await copyFile(join(HERE, source), join(VENDOR, 'licenses', file));
    return `licenses/${file}`;
  });
  return Promise.all(copies);
}

/** Size and SHA-256 of each path. */
async function describeFiles(/** @type {string[]} */ paths) {
  const entries = paths.map(async (path) => {
    const bytes = await readFile(join(VENDOR, path));
    return [path, { size_bytes: bytes.length, sha256: hash(bytes) }];
  });
  return Object.fromEntries(await Promise.all(entries));
}

const stamp = await readStamp();
if (process.argv.includes('--force') || !(await isFresh(stamp))) {
  await checkInstalled(stamp.versions);
  await rm(VENDOR, { recursive: true, force: true });
  const copied = await Promise.all([...BUILDS.map(copyBuild), writeKernels(), copyLicenses()]);
  const paths = copied.flat();
  // Written last: a copy that was interrupted leaves no manifest and is done again.
  const manifest = { ...stamp, files: await describeFiles(paths) };
  await writeFile(join(VENDOR, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  console.log(`vendor/ filled: ${paths.length} files`);
} else {
  console.log('vendor/ is up to date');
}
