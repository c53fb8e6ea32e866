/** What a backend of the low-bit engine offers to the plan: static buffers, and an operation a kernel. */
import type { BlockLayout, MatrixLayout } from '../../kernels/layout.js';

/** Somewhere in the backend's memory. */
export type Place = unknown;

/** A weight matrix or vector where it lies. */
export interface Matrix {
  layout: MatrixLayout;
  place: Place;
}

/** Rows of numbers, one a token: float32, and where a product needs them int8 with their scales. */
export interface Rows {
  /** columns from row to row, a multiple of 64; what lies behind `columns` is zero */
  stride: number;
  columns: number;
  floats: Place;
  quantized: Place;
}

/** A token of this step: where its keys and values go. */
export interface StepRow {
  slot: number;
  position: number;
  token: number;
  /** its embedding, where it is no token's */
  row?: Float32Array;
}

/** How the next tokens of a row are chosen: as sampler.js does it. */
export interface RowChoice {
  temperature: number;
  /** 0: all */
  topK: number;
  topP: number;
  penalty: number;
  /** a number from 0 to 1 for each pass */
  chances: number[];
  /** tokens that were there before; of use only with a penalty */
  seen: Iterable<number>;
}

export interface CacheSide {
  bits: number;
  /** places of the ring of exact tokens */
  places: number;
  /** packed blocks a head; 0 at 16 bits */
  blocks: number;
  block: BlockLayout;
  /** bytes of one head of one layer of one slot: ring, then blocks */
  headBytes: number;
  ringBytes: number;
}

export interface CacheShape {
  keys: CacheSide;
  values: CacheSide;
  window: number;
  context: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  slots: number;
  /** bytes of one slot */
  slotBytes: number;
}

export interface Backend {
  readonly name: 'wasm' | 'webgpu';
  /** the kernels that compute, as a reply names them */
  readonly kernels: string;
  readonly sizeBytes: number;
  matrix(layout: MatrixLayout): Matrix;
  rows(maxRows: number, columns: number): Rows;
  cache(shape: CacheShape): void;
  /** Bytes into a matrix, from `offset` on. */
  write(matrix: Matrix, offset: number, bytes: Uint8Array): void;
  ropeTable(table: Float32Array, pairs: number): void;

  begin(rows: StepRow[]): void;
  embed(matrix: Matrix, out: Rows): void;
  norm(x: Rows, weight: Matrix, out: Rows, eps: number, picks?: number[]): void;
  headNorm(x: Rows, weight: Matrix, heads: number, headDim: number, eps: number): void;
  quantize(x: Rows, n: number): void;
  matmul(matrix: Matrix, x: Rows, out: Rows, n: number): void;
  addBias(y: Rows, bias: Matrix): void;
  add(y: Rows, x: Rows): void;
  rope(x: Rows, heads: number, headDim: number): void;
  append(layer: number, keys: Rows, values: Rows): void;
  attend(layer: number, queries: Rows, out: Rows): void;
  silu(gate: Rows, up: Rows): void;
  /** The first `n` rows, columns only. Ends the step. */
  read(x: Rows, n: number): Promise<Float32Array[]>;
  /** How the next tokens of each of the step's rows are chosen, in several passes that are read back together. */
  prepareChoice?(logits: Rows, choices: RowChoice[]): void;
  /**
   * The chosen token of each of the step's rows becomes its next input, one position on: pass `pass`. A backend that has
   * it has `prepareChoice` and `chosen` too.
   */
  choose?(logits: Rows, pass: number): void;
  /** The tokens of `passes` passes, row by row in each; ODD_LOGIT or EQUAL_LOGITS where none can be chosen. Ends the step. */
  chosen?(passes: number): Promise<Uint32Array>;
  /** Copies what one slot holds of the cache to another. */
  copySlot(from: number, to: number): void;
  /** Ends once what was laid out is there. Raises OutOfMemory. */
  settle(): Promise<void>;
  /** Another one, with rows and a cache of its own beside the same matrices; released before this one. */
  sibling(): Backend;
  release(): void;
}
