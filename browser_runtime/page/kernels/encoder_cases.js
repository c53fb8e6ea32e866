/**
 * The cases of the kernels that only encoders have: each beside its twin, checked and timed as those of cases.js are.
 */
import { bindKernels, ENCODER_KERNELS, fetchKernel } from '../engines/low_bits/wasm_kernels.js';
import { WasmMemory } from '../engines/low_bits/wasm_memory.js';
import { chance, chanceMatrix } from './chance_rows.js';
import { layoutMatrix, roundUp } from './layout.js';
import { time, U } from './outcomes.js';
import { activationLimit, WEIGHT_LIMIT, widenMatrix } from './panels.js';
import { uniform } from './random.js';
import * as twins from './twins/encoders.js';

/** @typedef {'widen_matrix' | 'product' | 'layer_norm' | 'gelu' | 'attention'} Kernel */
/** @typedef {{name: string, kernel: Kernel, rows: number, columns: number, tokens: number}} EncoderCase rows of weights; columns of a token, or of a head */
/** @typedef {import('./outcomes.js').Outcome} Outcome */
/** @typedef {{memory: WasmMemory, kernels: import('../engines/low_bits/wasm_kernels.js').Kernels, put: (array: ArrayBufferView) => number}} Opened */

/** @param {number} tokens */
const some = (tokens) => `${tokens} token${tokens > 1 ? 's' : ''}`;
/** @param {number} rows @param {number} columns @returns {EncoderCase} */
const widening = (rows, columns) => ({
  name: `widen_matrix ${rows}x${columns}`,
  kernel: 'widen_matrix',
  rows,
  columns,
  tokens: 0,
});
/** @param {number} rows @param {number} columns @param {number} tokens @returns {EncoderCase} */
const product = (rows, columns, tokens) => ({
  name: `matwide 8 bits ${rows}x${columns}, ${some(tokens)}`,
  kernel: 'product',
  rows,
  columns,
  tokens,
});
/** @param {Kernel} kernel @param {number} columns @param {number} tokens @returns {EncoderCase} */
const rowwise = (kernel, columns, tokens) => ({
  name: `${kernel} ${columns} columns, ${some(tokens)}`,
  kernel,
  rows: 0,
  columns,
  tokens,
});
/** @param {number} dim @param {number} tokens @returns {EncoderCase} */
const attention = (dim, tokens) => ({
  name: `attention without a cache, ${some(tokens)}, a head of ${dim}`,
  kernel: 'attention',
  rows: 0,
  columns: dim,
  tokens,
});

/** @type {EncoderCase[]} */
export const ENCODER_CASES = [
  widening(8, 8),
  widening(24, 136),
  ...[1, 2, 3, 4, 5, 9, 13].map((tokens) => product(24, 72, tokens)),
  product(384, 384, 14),
  rowwise('layer_norm', 20, 3),
  rowwise('layer_norm', 384, 14),
  rowwise('gelu', 1536, 14),
  attention(8, 1),
  attention(32, 14),
  attention(64, 37),
];

/** What is only timed: the products of a paragraph in MiniLM. */
export const TIMED_ENCODERS = [product(1536, 384, 110), product(384, 1536, 110), attention(32, 110)];

/**
 * @param {EncoderCase} row
 * @param {import('../engines/low_bits/wasm_kernels.js').Variant} variant
 * @param {number} [repeats] timed runs, of which the quickest counts
 * @param {number} [sampleMs] how long a run is, at least
 * @param {import('../engines/low_bits/wasm_kernels.js').LoadKernel} [load]
 * @returns {Promise<Outcome>}
 */
export async function checkEncoder(row, variant, repeats = 1, sampleMs = 0, load = fetchKernel) {
  const opened = await openKernels(variant, load);
  const { compute, read, bytes } = CHECKS[row.kernel](opened, row);
  const took = await time({ repeats, sampleMs }, compute, async () => {});
  if (TIMED_ENCODERS.includes(row)) return { got: [], wanted: [], tolerances: [], ...took, bytes };
  return { ...read(), ...took, bytes };
}

/**
 * Kernels, and how arrays get into their memory.
 * @param {import('../engines/low_bits/wasm_kernels.js').Variant} variant
 * @param {import('../engines/low_bits/wasm_kernels.js').LoadKernel} load
 * @returns {Promise<Opened>}
 */
export async function openKernels(variant, load) {
  const memory = new WasmMemory();
  const kernels = await bindKernels(memory.memory, variant, load, ENCODER_KERNELS);
  const put = (/** @type {ArrayBufferView} */ array) => {
    const place = memory.alloc(array.byteLength);
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    new Uint8Array(memory.buffer).set(bytes, place);
    return place;
  };
  return { memory, kernels, put };
}

/**
 * @typedef {object} Check
 * @property {() => void} compute
 * @property {() => {got: ArrayLike<number>, wanted: ArrayLike<number>, tolerances: ArrayLike<number>}} read
 * @property {number} bytes
 */
/** @type {Record<Kernel, (opened: Opened, row: EncoderCase) => Check>} */
const CHECKS = {
  widen_matrix: checkWidening,
  product: checkProduct,
  layer_norm: checkNorm,
  gelu: checkGelu,
  attention: checkAttention,
};

/** @param {EncoderCase} row */
function makeWeights({ rows, columns }) {
  const layout = layoutMatrix([rows, columns], 8);
  const bytes = chanceMatrix(layout, uniform(rows + columns));
  const codes = new Int16Array(rows * columns);
  const scales = new Float32Array(rows);
  return { layout, bytes, codes, scales, ...widenMatrix(bytes, layout, codes, scales) };
}

/** @param {Opened} opened @param {EncoderCase} row @returns {Check} */
function checkWidening({ memory, kernels, put }, row) {
  const w = makeWeights(row);
  const at = put(w.bytes);
  const [codes, scales] = [memory.alloc(w.codes.byteLength), memory.alloc(w.scales.byteLength)];
  const sizes = [w.layout.blocks, w.layout.tiles, row.columns, WEIGHT_LIMIT];
  const compute = () => kernels.widen_matrix?.(at, at + w.layout.groups, codes, scales, ...sizes);
  const read = () => ({
    got: [...new Int16Array(memory.buffer, codes, w.codes.length), ...memory.floats(scales, row.rows)],
    wanted: [...w.codes, ...w.scales],
    // A number in the middle between two codes may go to either.
    tolerances: [...Array(w.codes.length).fill(1), ...Array.from(w.scales, (scale) => 4 * U * scale)],
  });
  return { compute, read, bytes: w.bytes.length };
}

/** @param {Opened} opened @param {EncoderCase} row @returns {Check} */
function checkProduct({ memory, kernels, put }, row) {
  const { rows, columns, tokens } = row;
  const w = makeWeights(row);
  const limit = activationLimit(w.longest);
  const next = uniform(tokens);
  const [values, biases] = [chance(tokens * columns, next), chance(rows, next)];
  const [x, y] = [put(values), memory.alloc(4 * tokens * rows)];
  const [codes, scales] = [memory.alloc(2 * values.length), memory.alloc(4 * tokens)];
  const [wide, ws, bs] = [put(w.codes), put(w.scales), put(biases)];
  const compute = () => {
    kernels.widen?.(x, 4 * columns, codes, scales, tokens, columns, limit);
    kernels.matwide?.(wide, ws, bs, codes, scales, y, 4 * rows, tokens, rows / 8, columns);
  };
  const read = () => {
    const twin = twins.widenRows(values, columns, limit);
    const got = {
      codes: new Int16Array(memory.buffer, codes, values.length).slice(),
      scales: memory.floats(scales, tokens).slice(),
    };
    const exact = twins.multiplyPanels(w, got, biases, columns);
    const bias = (/** @type {number} */ index) => biases[index % rows] ?? 0;
    return {
      got: [...got.codes, ...got.scales, ...memory.floats(y, tokens * rows)],
      wanted: [...twin.codes, ...twin.scales, ...exact],
      // Sums of whole numbers are exact: they become float32, are scaled twice, and added to.
      tolerances: [
        ...Array(values.length).fill(1),
        ...Array.from(twin.scales, (scale) => 4 * U * scale),
        ...Array.from(
          exact,
          (value, at) => 4 * U * (Math.abs(value - bias(at)) + Math.abs(bias(at))) + 1e-30,
        ),
      ],
    };
  };
  return { compute, read, bytes: w.codes.byteLength };
}

/** @param {Opened} opened @param {EncoderCase} row @returns {Check} */
function checkNorm({ memory, kernels, put }, { columns, tokens }) {
  const next = uniform(columns);
  const [x, r] = [chance(tokens * columns, next), chance(tokens * columns, next)];
  const [weight, bias] = [chance(columns, next), chance(columns, next)];
  const [xs, rs, ws, bs] = [put(x), put(r), put(weight), put(bias)];
  const y = memory.alloc(x.byteLength);
  const compute = () => kernels.layer_norm?.(xs, rs, ws, bs, y, 4 * columns, tokens, columns, 1e-5);
  const read = () => {
    const z = Float64Array.from(x, (value, index) => value + (r[index] ?? 0));
    const wanted = twins.layerNorm(z, weight, bias, 1e-5);
    // Half the error of each sum, by its root, of numbers that are at most so many deviations large.
    const units = (columns / 2 + 8) * U;
    const largest = z.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    const tolerances = wanted.map(
      (_, at) =>
        units * (2 * largest * Math.abs(weight[at % columns] ?? 0) + Math.abs(bias[at % columns] ?? 0)),
    );
    return { got: memory.floats(y, x.length).slice(), wanted, tolerances };
  };
  return { compute, read, bytes: 2 * x.byteLength };
}

/** @param {Opened} opened @param {EncoderCase} row @returns {Check} */
function checkGelu({ memory, kernels, put }, { columns, tokens }) {
  const x = chance(columns * tokens, uniform(columns), 3);
  const place = put(x);
  // Written over what was read: timed on that, and checked anew.
  const compute = () => kernels.gelu?.(place, x.length);
  const read = () => {
    memory.floats(place, x.length).set(x);
    compute();
    const wanted = Float64Array.from(x, twins.gelu);
    return { got: memory.floats(place, x.length).slice(), wanted, tolerances: wanted.map(() => 2e-6) };
  };
  return { compute, read, bytes: x.byteLength };
}

/** @param {Opened} opened @param {EncoderCase} row @returns {Check} */
function checkAttention({ memory, kernels, put }, { columns: dim, tokens: n }) {
  const next = uniform(n + dim);
  const values = chance(3 * n * dim, next);
  const [ld, ldScores] = [4 * 3 * dim, 4 * roundUp(n, 8) + 32];
  const qkv = put(values);
  const turned = memory.alloc(4 * roundUp(n, 8) * dim);
  const [scores, y] = [memory.alloc(n * ldScores), memory.alloc(4 * n * dim)];
  const compute = () => {
    kernels.turn?.(qkv + 4 * dim, ld, turned, n, dim);
    kernels.matpanel?.(turned, 32, 32 * dim, Math.ceil(n / 8), qkv, ld, scores, ldScores, n, dim);
    kernels.softmax?.(scores, ldScores, n, n, 1 / Math.sqrt(dim), roundUp(n, 4));
    kernels.matpanel?.(qkv + 8 * dim, ld, 32, dim / 8, scores, ldScores, y, 4 * dim, n, n);
  };
  const read = () => {
    const part = (/** @type {number} */ which) =>
      Float32Array.from(
        { length: n * dim },
        (_, at) => values[Math.floor(at / dim) * 3 * dim + which * dim + (at % dim)] ?? 0,
      );
    const [q, k, v] = [part(0), part(1), part(2)];
    const largest = (/** @type {Float32Array} */ of) =>
      of.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    // A score is off by its sum's error, and twice that goes into a share; then its exponential's, and a sum's.
    const score = (dim + 2) * U * Math.sqrt(dim) * largest(q) * largest(k);
    const tolerance = (2 * score + (2 * n + 32) * U) * largest(v);
    const wanted = twins.attend(q, k, v, dim);
    return { got: memory.floats(y, n * dim).slice(), wanted, tolerances: wanted.map(() => tolerance) };
  };
  return { compute, read, bytes: values.byteLength };
}
