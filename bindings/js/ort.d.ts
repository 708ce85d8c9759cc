// Types of `fourlane/ort`: the part of onnxruntime-web's API that text models use.

import type { FileContent, SessionInfo } from './index.js';
export { FourlaneError } from './index.js';

/** Array types by element type. `float16` is a `Float16Array` where the engine has it, else the raw bits. */
interface DataTypeMap {
  float32: Float32Array;
  float16: Uint16Array;
  float64: Float64Array;
  int64: BigInt64Array;
  uint64: BigUint64Array;
  int32: Int32Array;
  uint32: Uint32Array;
  int16: Int16Array;
  uint16: Uint16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  bool: Uint8Array;
  string: string[];
}

interface ElementTypeMap {
  float32: number;
  float16: number;
  float64: number;
  int64: bigint;
  uint64: bigint;
  int32: number;
  uint32: number;
  int16: number;
  uint16: number;
  int8: number;
  uint8: number;
  bool: boolean;
  string: string;
}

export declare namespace Tensor {
  type Type = keyof DataTypeMap;
  type DataType = DataTypeMap[Type];
  type ElementType = ElementTypeMap[Type];
}

/** A typed array with dimensions. */
export interface TypedTensor<T extends Tensor.Type> {
  readonly type: T;
  /** Row-major elements. */
  readonly data: DataTypeMap[T];
  readonly dims: readonly number[];
  /** How many elements. */
  readonly size: number;
  readonly location: 'cpu' | 'none';
  readonly cpuData: DataTypeMap[T];
  getData(releaseData?: boolean): Promise<DataTypeMap[T]>;
  /** The same data with other dimensions. */
  reshape(dims: readonly number[]): TypedTensor<T>;
  dispose(): void;
}

export interface Tensor extends TypedTensor<Tensor.Type> {}

/** What a tensor of a type can be made of. */
type TensorData<T extends Tensor.Type> =
  | DataTypeMap[T]
  | (T extends 'int64' | 'uint64' ? readonly bigint[] | readonly number[] : never)
  | (T extends 'bool' ? readonly boolean[] | readonly number[] : never)
  | (T extends 'string' ? readonly string[] : readonly number[])
  | (T extends 'uint8' ? Uint8ClampedArray : never);

/** Type of the tensor that a data array makes. */
type TypeOf<D> = D extends Float32Array ? 'float32'
  : D extends BigInt64Array ? 'int64'
  : D extends BigUint64Array ? 'uint64'
  : D extends Int32Array ? 'int32'
  : D extends Float64Array ? 'float64'
  : D extends readonly boolean[] ? 'bool'
  : D extends readonly string[] ? 'string'
  : Tensor.Type;

export declare const Tensor: {
  /** Without dims, a vector. */
  new <T extends Tensor.Type>(type: T, data: TensorData<T>, dims?: readonly number[]): TypedTensor<T>;
  new <D extends Tensor.DataType | Uint8ClampedArray | readonly boolean[] | readonly string[]>(
    data: D,
    dims?: readonly number[],
  ): TypedTensor<TypeOf<D>>;
};

export type OnnxValue = Tensor;

export declare namespace InferenceSession {
  type OnnxValueMapType = { readonly [name: string]: OnnxValue };
  type FeedsType = OnnxValueMapType;
  /** Names of outputs, or outputs with a tensor to write to (null: a new one). */
  type FetchesType = readonly string[] | { readonly [name: string]: OnnxValue | null };
  type ReturnType = OnnxValueMapType;

  interface ValueMetadata {
    readonly name: string;
    readonly isTensor: true;
    readonly type: Tensor.Type;
    /** A name where the dimension is free. */
    readonly shape: ReadonlyArray<number | string>;
  }

  /**
   * What of a session's options and of `env` was asked for and is not so, a sentence each: execution providers other
   * than `wasm` and `cpu`, graph capture, the proxy worker.
   */
  interface Info extends SessionInfo {
    readonly ignored: readonly string[];
  }

  /** These have an effect; onnxruntime's other options are accepted and ignored. */
  interface SessionOptions {
    /** WebAssembly on the CPU runs everything; `info().ignored` tells of others. */
    executionProviders?: ReadonlyArray<string | { readonly name: string }>;
    /** Outputs are arrays in memory; another place than `cpu` is an error. */
    preferredOutputLocation?: 'cpu' | { readonly [output: string]: 'cpu' };
    /**
     * Files in which the model says it has weights: what it calls them, with their content or where that is; or only a
     * URL or path that ends in the name. A session made from a URL or path finds those that are missing here beside
     * the model.
     */
    externalData?: ReadonlyArray<string | URL | { path: string; data: string | FileContent }>;
    /**
     * Not of onnxruntime, but as it does: a model that quantises while it runs has one range of values for a whole
     * tensor, batch and padding included. Default: false, each row has its own, which is nearer to full precision.
     */
    literal?: boolean;
    /** Not of onnxruntime: `fast` may quantise rows to 7 bits, see `PipelineOptions` of `fourlane`. Default: `exact`. */
    accuracy?: 'exact' | 'fast';
    readonly [option: string]: unknown;
  }

  /** Accepted and ignored. */
  interface RunOptions {
    readonly [option: string]: unknown;
  }
}

export interface InferenceSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly InferenceSession.ValueMetadata[];
  readonly outputMetadata: readonly InferenceSession.ValueMetadata[];
  run(feeds: InferenceSession.FeedsType, options?: InferenceSession.RunOptions): Promise<InferenceSession.ReturnType>;
  run(
    feeds: InferenceSession.FeedsType,
    fetches: InferenceSession.FetchesType,
    options?: InferenceSession.RunOptions,
  ): Promise<InferenceSession.ReturnType>;
  /** Not of onnxruntime: what runs, and how. */
  info(): InferenceSession.Info;
  /** Frees the memory; a later use is an error with code `disposed`. */
  release(): Promise<void>;
  /** Does nothing. */
  startProfiling(): void;
  /** Does nothing. */
  endProfiling(): void;
}

export declare const InferenceSession: {
  /** From a URL, or in Node a path. */
  create(path: string | URL, options?: InferenceSession.SessionOptions): Promise<InferenceSession>;
  create(
    model: ArrayBufferLike | Uint8Array,
    options?: InferenceSession.SessionOptions,
  ): Promise<InferenceSession>;
  create(
    model: ArrayBufferLike,
    byteOffset: number,
    byteLength?: number,
    options?: InferenceSession.SessionOptions,
  ): Promise<InferenceSession>;
};

/** onnxruntime's settings. Without a comment they are accepted and have no effect. */
export declare const env: {
  logLevel?: 'verbose' | 'info' | 'warning' | 'error' | 'fatal';
  debug?: boolean;
  /** Read when the first session is made. */
  wasm: {
    /** Where the package's .wasm files are: a folder, or one of them. Default: beside the package's modules. */
    wasmPaths?: string | URL | { wasm?: string | URL; mjs?: string | URL };
    /** One of the package's .wasm files, fetched or compiled by the caller. */
    wasmBinary?: ArrayBuffer | Uint8Array<ArrayBuffer> | WebAssembly.Module;
    /** `fixed` is the variant `simd128`, `relaxed` the other; `true`: the best that the JavaScript engine runs. */
    simd?: boolean | 'fixed' | 'relaxed';
    /** Default, and meaning of 0: as many as are good. */
    numThreads?: number;
    /** A session runs where it is made, whatever this says; see `info().ignored`. */
    proxy?: boolean;
    initTimeout?: number;
    [setting: string]: unknown;
  };
  webgl: Record<string, unknown>;
  webgpu: Record<string, unknown>;
  /** Empty: this is no version of onnxruntime. */
  readonly versions: Record<string, string>;
};

declare const ort: { InferenceSession: typeof InferenceSession; Tensor: typeof Tensor; env: typeof env };
export default ort;
