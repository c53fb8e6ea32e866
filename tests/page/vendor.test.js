import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assemble, kernelNames } from '../../browser_runtime/page/kernels/assemble.mjs';

const PAGE = new URL('../../browser_runtime/page/', import.meta.url);
const SCRIPT = fileURLToPath(new URL('vendor.mjs', PAGE));
/** @param {string} path */
const read = (path) => readFileSync(new URL(`vendor/${path}`, PAGE));
const vendor = () => execFileSync('node', [SCRIPT], { encoding: 'utf8' });

before(vendor);

test('a second time there is nothing to do', () => {
  assert.match(vendor(), /up to date/);
});

test('the manifest tells the pinned versions and the true hashes', () => {
  const { versions, files } = JSON.parse(read('manifest.json').toString());
  const lock = JSON.parse(readFileSync(new URL('package-lock.json', PAGE), 'utf8'));
  for (const [name, version] of Object.entries(versions)) {
    assert.equal(version, lock.packages[`node_modules/${name}`].version);
  }
  for (const [path, { sha256 }] of Object.entries(files)) {
    assert.equal(createHash('sha256').update(read(path)).digest('hex'), sha256, path);
  }
});

test('no script has a bare import, which Workers cannot resolve', () => {
  for (const build of ['wasm', 'jspi', 'asyncify']) {
    // Minified: a statement's `from` touches its quote, prose does not. The text is too long to be shown.
    const bare = read(`${build}/transformers.js`)
      .toString()
      .match(/\bfrom"[^."/][^"]*"/);
    assert.equal(bare, null);
  }
});

test('no glue builds code from text, which the content security policy forbids', () => {
  for (const glue of ['wasm/ort-wasm-simd-threaded', 'jspi/ort-wasm-simd-threaded.jspi']) {
    assert.equal(
      read(`${glue}.mjs`)
        .toString()
        .match(/new Function\(|\beval\(/),
      null,
    );
  }
});

test('every kernel is there, with relaxed SIMD and without, as it is assembled', async () => {
  for (const name of await kernelNames()) {
    for (const variant of /** @type {const} */ (['relaxed', 'simd'])) {
      const bytes = Buffer.from(await assemble(name, variant));
      assert.ok(read(`kernels/${variant}/${name}.wasm`).equals(bytes), `${variant}/${name}`);
    }
  }
});
