// Types of the package `fourlane`.

/** One label with its probability (0 to 1). */
export interface Label {
  label: string;
  score: number;
}

/** Bytes in any of the forms a page gets hold of. A `URL` is fetched (in Node, `file:` URLs are read). */
export type FileContent = ArrayBuffer | SharedArrayBuffer | ArrayBufferView | Blob | ReadableStream | Response | URL;

/** Precisions of a model, by the end of its file's name: see `PipelineOptions.dtype`. */
export type Dtype = 'fp32' | 'fp16' | 'q8' | 'int8' | 'uint8' | 'q4' | 'q4f16' | 'bnb4';

/**
 * Where a model comes from:
 *
 * - a URL, or in Node a path, of a folder in the layout of Hugging Face: `config.json`, `tokenizer.json` or
 *   `vocab.txt`, `tokenizer_config.json` (optional), and the model in `onnx/` or beside them;
 * - or an object of the same files by the same names.
 *
 * If the model has its weights in files of their own (`model.onnx_data`, `.safetensors`), it says so itself, and they
 * are looked for beside it; in an object, `onnx/model.onnx_data` and `model.onnx_data` are both found.
 */
export type Source = string | URL | Record<string, FileContent>;

/** The builds of the engine: `relaxed` needs relaxed SIMD and is faster. */
export type Variant = 'simd128' | 'relaxed';

/** How the engine is loaded; only the first call of a page or process decides. What `load` is told goes for all. */
export interface LoadOptions {
  /**
   * Whether to run in a worker, which all pipelines of a page or process share, and which ends with the last of them.
   *
   * Default: yes, unless this is a worker already, there are no workers, or it cannot be started (a policy may forbid
   * it: it needs `worker-src 'self'`); `info()` says which. `true` makes an error of the last; with `false`, and where
   * there is no worker, runs keep the calling thread, which gets a turn between the parts of long calls.
   */
  worker?: boolean;
  /** Default: the best that the JavaScript engine runs. */
  variant?: Variant;
  /**
   * How many threads share the work, this one included; results are the same for any number. More than one takes a
   * cross-origin isolated page and a worker (or Node); where that is not so there is one, and `Info.reason` says why.
   * Default: as many as there are cores, but at most 4.
   */
  threads?: number;
  /**
   * Bytes to which the memory of an engine with several threads can grow. All of it is set aside when the engine starts,
   * and phones refuse large amounts; where so much is refused it is halved. Default: 1 GiB.
   */
  maxMemory?: number;
  /** The .wasm file, or the folder that has it. Default: beside the package's modules. */
  wasmPath?: string | URL;
  /** The .wasm itself, fetched or compiled by the caller; goes with `variant`, and may be a build with threads. */
  wasmBinary?: ArrayBuffer | Uint8Array<ArrayBuffer> | Response | WebAssembly.Module;
}

/** What was loaded, and why this. */
export interface Info {
  variant: Variant;
  /** How many threads share the work. */
  threads: number;
  /** Why this variant, and why so many threads. */
  reason: string;
  /** Whether it runs in a worker, and why so. */
  worker: boolean;
  workerReason: string;
}

export interface PipelineOptions extends LoadOptions {
  /**
   * Which precision of the model, by the end of its file's name as in transformers.js: `fp32` (`model.onnx`), `fp16`
   * (`model_fp16.onnx`), `q8` (`model_quantized.onnx`), `int8`, `uint8`, `q4`, `q4f16`, `bnb4`; also by the name of the
   * model file, `{ model: 'q8' }`.
   *
   * Default, and meaning of `auto`: the one that `config.json` names for transformers.js, else the first there is of
   * `q8`, `int8`, `uint8`, `fp32`, `fp16`, `q4`, `q4f16`, `bnb4`.
   */
  dtype?: Dtype | 'auto' | { readonly [file: string]: Dtype | 'auto' };
  /** Folder of the model file inside the source. Default: `onnx`, else beside the other files. */
  subfolder?: string;
  /** The model file's name without precision and extension. Default: `model`. */
  model_file_name?: string;
  /** Taken for transformers.js' sake, without effect: the model says which files it needs. */
  use_external_data_format?: boolean | number | Record<string, boolean | number>;
  /**
   * Whether a model is run to the letter: one that quantises while it runs does so by ONNX's rule, with one range of
   * values for a whole tensor, and floats are added in onnxruntime's order. Slower; texts are run one by one then.
   * Default: false, each token has its own range, which is nearer to full precision.
   */
  literal?: boolean;
  /**
   * `fast` lets a model that quantises while it runs do so in 7 bits where that is faster; farther from full precision.
   * Without effect under `literal`. Default: `exact`.
   */
  accuracy?: 'exact' | 'fast';
  /**
   * Whether bytes in `source` may move to the worker: buffers are empty then. Otherwise they are copied, which takes
   * memory twice until the model is there. Blobs, files and URLs are read by the worker, responses and streams move.
   */
  transfer?: boolean;
  /** Hears of each file as it comes, and when all is ready. What it throws, `pipeline` throws. */
  onProgress?: (event: Progress) => void;
  /** The same, by its name in transformers.js. */
  progress_callback?: (event: Progress) => void;
  /** Breaks off; `pipeline` then throws the signal's reason, at once. */
  signal?: AbortSignal;
  /**
   * Keeps fetched files of the model in a cache of the Cache API, by this name or `fourlane`, and takes them from there
   * without asking the server. Give a new version a new name. Default: false.
   */
  cache?: boolean | string;
  /** Digests that files must have, as in HTML: `{ 'onnx/model_quantized.onnx': 'sha256-…' }`. */
  integrity?: { readonly [file: string]: string };
}

/** What `onProgress` hears, as from transformers.js. Sizes are in bytes, `progress` is in percent. */
export type Progress =
  | { status: 'initiate' | 'download' | 'done'; name: string; file: string }
  | { status: 'progress'; name: string; file: string; progress: number; loaded: number; total: number }
  | {
      status: 'progress_total';
      name: string;
      progress: number;
      loaded: number;
      total: number;
      files: { [file: string]: { loaded: number; total: number } };
    }
  | { status: 'ready'; task: string; model: string };

export interface RunOptions {
  /** Breaks off: the call throws the signal's reason at once, and texts that have not begun never run. */
  signal?: AbortSignal;
  /** Hears how many texts are done, now and then. What it throws, the call throws. */
  onProgress?: (event: { status: 'progress'; progress: number; loaded: number; total: number }) => void;
}

export interface ClassifyOptions extends RunOptions {
  /** How many labels per text, best first; `null` for all. Default: 1. */
  top_k?: number | null;
}

/** What a session or pipeline is. */
export interface SessionInfo extends Info {
  /** Whether ranges of quantisation are ONNX's, see `PipelineOptions.literal`. */
  literal: boolean;
  accuracy: 'exact' | 'fast';
  /** How many weights are multiplied as integers in which way; all ways give the same bits. */
  integerModes: { [mode: string]: number };
  /** Bytes of the engine's memory that it holds now: weights, and room for the largest shape it has run. */
  memoryBytes: number;
  /** Bytes of memory of the whole engine, which never shrinks; it is given back when its worker ends. */
  engineBytes: number;
}

/** What a pipeline is. */
export interface PipelineInfo extends SessionInfo {
  /** The model's file, by its name in the source. */
  file: string;
  dtype: Dtype;
  /** The most tokens of a text, special ones included; what is longer is cut off. */
  maxLength: number;
}

/** One step of a run: an operator as it was planned, after fusion. */
export interface ProfileStep {
  /** As `cargo xtask inspect` names it: `LinearInt8+Gelu`. */
  operator: string;
  /** The node that it was made of, by its name in the file. */
  name: string;
  /** Shape of the first operand; empty if there is none. */
  input: number[];
  /** Shape of the first result. */
  output: number[];
  /** Of all operands and results, weights included. */
  bytes: number;
  /** The mean of the faster half of the runs. Clocks are coarse on pages without cross-origin isolation: many runs help. */
  milliseconds: number;
}

/** A part of the arena, which all values of a run share, for as long as it holds one thing. */
export interface ArenaRegion {
  /** What the model is fed with, what a step has computed, or what one needs while it runs. */
  holds: 'input' | 'result' | 'scratch';
  /** Of the node that writes it; empty for inputs. */
  name: string;
  /** Of its first byte. */
  offset: number;
  bytes: number;
  /** Index of the step that writes it. */
  first: number;
  /** Index of the last step that reads it. */
  last: number;
}

/** Where the time of a text goes, and what lies where in memory meanwhile. */
export interface Profile {
  steps: ProfileStep[];
  arena: ArenaRegion[];
  /** Size of the arena for this text. */
  arenaBytes: number;
}

/**
 * A loaded classifier.
 *
 * Calls that wait go together where that is faster, each text with the result that it has alone; a call of many texts is
 * run in parts, between which others have their turn.
 */
export interface TextClassificationPipeline {
  /**
   * The best label of each text, in their order; for a single text too it comes in an array.
   *
   * Any string is a text: an empty one is classified as such, one longer than the model's maximum is cut at its end,
   * a lone surrogate is read as U+FFFD.
   */
  (texts: string | readonly string[], options?: RunOptions & { top_k?: 1 }): Promise<Label[]>;
  /** The labels of a text, best first. */
  (text: string, options: ClassifyOptions): Promise<Label[]>;
  /** The labels of each text, best first; flat if `top_k` is 1. */
  (texts: readonly string[], options: RunOptions & { top_k: null }): Promise<Label[][]>;
  (texts: readonly string[], options: ClassifyOptions): Promise<Label[] | Label[][]>;

  /** The model's labels, in the order of its logits. */
  readonly labels: readonly string[];
  /** The token ids of a text, special tokens included. */
  tokenize(text: string): Promise<number[]>;
  /** The model's raw outputs, before softmax. */
  logits(text: string, options?: RunOptions): Promise<Float32Array>;
  logits(texts: readonly string[], options?: RunOptions): Promise<Float32Array[]>;
  /** Runs a text, `runs` times (default: once), and tells of each step. */
  profile(text: string, options?: { runs?: number }): Promise<Profile>;
  /** What was loaded, and what it took when it last ran. */
  info(): PipelineInfo;
  /** Frees the memory; what still waits, and a later use, is an error with code `disposed`. */
  dispose(): Promise<void>;
}

/**
 * Loads a classifier.
 *
 * `source` defaults to the model in this package: English film reviews, `POSITIVE` or `NEGATIVE`.
 *
 * @throws {FourlaneError} with code `unsupported-task`, `missing-file`, `load-failed`, `unsupported-engine`,
 * `invalid-model` or `unsupported-model`; {TypeError} for arguments of the wrong type.
 */
export function pipeline(
  task: 'sentiment-analysis' | 'text-classification',
  source?: Source | null,
  options?: PipelineOptions,
): Promise<TextClassificationPipeline>;

/** Loads the engine ahead of time, or from a place of its own; a no-op if it is loaded. */
export function load(options?: LoadOptions): Promise<Info>;

/** What was loaded and why; `undefined` before. */
export function info(): Info | undefined;

/** What a failure is about. */
export type ErrorCode =
  | 'unsupported-engine' // no SIMD here
  | 'load-failed' // a file could not be fetched or read, or the .wasm not started
  | 'missing-file' // a file of the model is not there
  | 'unsupported-task'
  | 'invalid-model' // a file of the model is damaged or contradicts another
  | 'unsupported-model' // operators, tokenizers or inputs that are not implemented
  | 'bad-input' // wrong name, type, shape or value of a tensor
  | 'out-of-memory'
  | 'disposed'
  | 'crashed'; // the engine trapped or its worker ended; what it held is lost, new pipelines work

/** Every failure that can be foreseen. `message` is one sentence. */
export class FourlaneError extends Error {
  readonly name: 'FourlaneError';
  readonly code: ErrorCode;
}
