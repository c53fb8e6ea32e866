/**
 * Inputs and results of a family: the types of the interface between lane.js, engines/ and families/.
 * The words of `Ready` and `Answer` are the wire contract of ../README.md.
 */
import type * as Transformers from '@huggingface/transformers';
import type * as Ort from 'onnxruntime-common';

export type Backend = 'webgpu' | 'webnn' | 'wasm';
export type Device = import('../engines/devices.js').Device;
export type Tensors = Record<string, Ort.Tensor>;

/** A model as the store serves it: `settings` are those of its processor in the worker. */
export interface Model {
  name: string;
  revision: string;
  /** Ends in a slash. */
  url: string;
  /** By stem ("model", "encoder_model", ...), in the precision that was asked for. */
  graphs: Record<string, GraphFiles>;
  settings: Record<string, unknown>;
  limits: Limits;
}

/** Bounds of the family's row (`contract/family_spec.py`, RunLimits). */
export interface Limits {
  /** Items computed at once on graphs of free shapes. */
  max_batch: number;
  /** the most that keys and values of all prompts may take */
  cache_bytes: number;
  /** Graphs of static shapes kept open at once. */
  max_static_graphs: number;
  warm_up_runs: number;
  warm_up_ms: number;
}

/** Settings of a text model (`browser_runtime/families/text_embedding.py`). */
export interface TextSettings {
  modules: import('./texts/sentence_modules.js').Module[];
  max_tokens: number;
  pad_id: number;
  /** The position of a text's first token: 0, or behind the padding token's. */
  first_position: number;
  /** A usual item. */
  sample: unknown;
  /** Details of the model for the reply. */
  details: Record<string, unknown>;
}

/** A graph's files, as paths in the model's folder. */
export interface GraphFiles {
  path: string;
  /** Files with its weights, by the name that the graph itself has for each. */
  weights: Record<string, string>;
  /** The hash of all of them: equal for graphs that are the same to the bit. */
  content?: string;
}

/** One onnxruntime-web session on exactly one backend (engines/graphs.js). */
export interface Graph {
  /** The name of the model that it belongs to. */
  model: string;
  backend: Backend;
  inputNames: readonly string[];
  outputNames: readonly string[];
  inputMetadata: readonly Ort.InferenceSession.ValueMetadata[];
  outputMetadata: readonly Ort.InferenceSession.ValueMetadata[];
  loadMs: number;
  compileMs: number;
  weightBytes: number;
  placement: Partial<Record<Backend, number>> | null;
  kernel: string;
  /** The name of what it may share with other models; null where it shares nothing. */
  part: string | null;
  /** True where that was open already. */
  isShared: boolean;
  run(feeds: Tensors): Promise<Tensors>;
  lastRun: { computeMs: number; readbackMs: number };
  release(): Promise<void>;
}

export interface GraphRequest {
  device: Device;
  names?: { model: string; graph: string };
  url?: string;
  bytes?: Uint8Array;
  weights?: { path: string; data: Uint8Array }[];
  content?: string | undefined;
  /** Gives bytes and weights, called only where no graph of that content is open. */
  read?: () => Promise<import('../engines/model_bytes.js').ModelFiles>;
  freeDimensions?: Record<string, number>;
  allowFree?: boolean;
  /** WebGPU's layout of convolutions; its default without one. */
  layout?: 'NCHW' | 'NHWC' | undefined;
  /** True: every output stays on the device; names: these do, the others are read back. */
  keepOnDevice?: boolean | string[];
}

export interface WarmUp {
  runs: number;
  ms: number;
  steady: boolean;
}

/** Parts that a lane owns: one onnxruntime-web build, the transformers.js bound to it, and its devices. */
export interface Realm {
  /** Half a megabyte of code, fetched by the families that use it. */
  openTransformers(): Promise<typeof Transformers>;
  ort: typeof Ort;
  openDevice(backend: Backend): Promise<Device>;
  openGraph(request: GraphRequest): Promise<Graph>;
  warmUp(runOnce: () => Promise<unknown>, limits: { maxRuns: number; maxMs: number }): Promise<WarmUp>;
}

export interface Opening {
  model: Model;
  backend: Backend;
  precision: string;
  options: Record<string, unknown>;
  /** the quickest kernels of this adapter and build, where they were measured before */
  /** what the worker wants of its table of acceleration while a model is opened */
  acceleration?: { compute_shaders?: boolean; precompile_shaders?: boolean; parallel_loading?: boolean };
  /** files of graphs that are on their way already, by stem; undefined where each is fetched when it is opened */
  fetched?: Map<string, Promise<import('../engines/model_bytes.js').ModelFiles>> | undefined;
  /** times of the front ends of sounds on this adapter and build, by plan, where they were measured before */
  front_ends?: Record<string, import('./sounds/front_ends.js').Measured[]> | null;
  kept?: { kernels: string; measured: { kernels: string; decode_ms: number; prefill_ms: number }[] } | null;
  realm: Realm;
}

export interface Ready {
  backend: Backend;
  kernel: string;
  load_ms: number;
  compile_ms: number;
  warmup_ms: number;
  warmup_runs: number;
  warmup_steady: boolean;
  weight_bytes: number;
  placement: Partial<Record<Backend, number>> | null;
  /** Rows of the worker's table of acceleration that it has, by name. */
  acceleration: string[];
  /** What it holds of graphs and weights, for the worker to count what models share once. */
  parts?: { name: string; size_bytes: number; shared: boolean }[];
  details: Record<string, unknown>;
}

export interface Timings {
  preprocess_ms: number;
  compute_ms: number;
  readback_ms: number;
  postprocess_ms: number;
}

export interface WireError {
  code: string;
  args: string[];
  stack: string;
}

export type Result<Output> = { ok: true; output: Output } | { ok: false; error: WireError };

export interface Answer<Output> {
  results: Result<Output>[];
  timings: Timings;
  /** Rows of the table of acceleration that this run had, besides those of its model. */
  acceleration?: string[];
  /** Why it did without a row that it was asked for. */
  not_accelerated?: Record<string, string>;
  details: Record<string, unknown>;
}

/** What a call that generates text tells, and is told, before its answer. */
export interface TokenStream {
  /** Sends tokens of one item. */
  emit(item: number, tokens: number[]): void;
  /** True when the worker wants no more of the item. */
  isStopped(item: number): boolean;
}

export interface OpenedFamily<Output> {
  ready: Ready;
  /** True: its calls run side by side, and others go on between their steps. */
  generates?: boolean;
  /** Language models: the logits [tokens, vocabulary] behind each token, the text's first `start` being there. */
  score?(tokens: Int32Array, start: number): Promise<import('../frames.js').NdArray>;
  run(
    items: unknown[],
    options: Record<string, unknown>,
    isCancelled: () => boolean,
    stream?: TokenStream,
    recall?: import('./graphs/recall.js').Recall,
  ): Promise<Answer<Output>>;
  release(): Promise<void>;
}
