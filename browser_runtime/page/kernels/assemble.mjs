/**
 * Assembles the kernels of wasm/ by npm wabt: each twice, with relaxed SIMD and for browsers that lack it.
 *
 * The second differs in two instructions, which become what they mean: `i16x8.relaxed_dot_i8x16_i7x16_s`, whose operands
 * are signed bytes, the second one never negative, and whose neighbours' products are added; and `f32x4.relaxed_madd`.
 */
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import wabt from 'wabt';

/** @typedef {'relaxed' | 'simd'} Variant */

export const SOURCES = join(dirname(fileURLToPath(import.meta.url)), 'wasm');
const RELAXED_DOT = /\(i16x8\.relaxed_dot_i8x16_i7x16_s (\(local\.get \$\w+\)) (\(local\.get \$\w+\))\)/g;
const RELAXED_MADD =
  /\(f32x4\.relaxed_madd (\(local\.get \$\w+\)) (\(local\.get \$\w+\)) (\(local\.get \$\w+\))\)/g;
const PLAIN_MADD = '(f32x4.add $3 (f32x4.mul $1 $2))';
const PLAIN_DOT = `(i16x8.narrow_i32x4_s
  (i32x4.dot_i16x8_s (i16x8.extend_low_i8x16_s $1) (i16x8.extend_low_i8x16_s $2))
  (i32x4.dot_i16x8_s (i16x8.extend_high_i8x16_s $1) (i16x8.extend_high_i8x16_s $2)))`;

/** The names of the kernels: files of wasm/ without their ending. @returns {Promise<string[]>} */
export async function kernelNames() {
  const files = await readdir(SOURCES);
  return files
    .filter((file) => file.endsWith('.wat'))
    .map((file) => file.slice(0, -4))
    .sort();
}

/**
 * The kernel as WebAssembly. Throws, naming the line, what wabt does not take.
 * @param {string} name
 * @param {Variant} variant
 * @returns {Promise<Uint8Array>}
 */
export async function assemble(name, variant) {
  const source = await readFile(join(SOURCES, `${name}.wat`), 'utf8');
  const plain = () => source.replaceAll(RELAXED_DOT, PLAIN_DOT).replaceAll(RELAXED_MADD, PLAIN_MADD);
  const text = variant === 'relaxed' ? source : plain();
  if (variant === 'simd' && text.includes('.relaxed_'))
    throw new Error(`${name}.wat: a relaxed instruction is left`);
  const module = (await wabt()).parseWat(`${name}.wat`, text, { simd: true, relaxed_simd: true });
  try {
    module.validate();
    return new Uint8Array(module.toBinary({}).buffer);
  } finally {
    module.destroy();
  }
}
