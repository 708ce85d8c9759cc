// onnxruntime's Tensor: a typed array with dimensions.

import { FourlaneError } from './errors.js';
import { kind } from './where.js';

// Older engines have no Float16Array; there the raw bits are the data, as in onnxruntime.
const Float16 = globalThis.Float16Array ?? Uint16Array;

const ARRAYS = {
  float32: Float32Array,
  float16: Float16,
  float64: Float64Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

/** See ort.d.ts. */
export class Tensor {
  constructor(first, second, third) {
    const [type, data, dims] = typeof first === 'string' ? [first, second, third] : [undefined, first, second];
    this.type = type ?? infer(data);
    const elements = convert(this.type, data);
    if (dims !== undefined && !Array.isArray(dims)) throw new TypeError("A tensor's dims must be a number array");
    this.dims = dims ?? [elements.length];
    this.size = sizeOf(this.dims);
    this.location = 'cpu';
    // A property like any other, as in onnxruntime: transformers.js writes to it.
    this.cpuData = elements;
    if (this.size !== elements.length) {
      throw new Error(`Tensor's size(${this.size}) does not match data length(${elements.length}).`);
    }
  }

  /** A tensor over the elements' bytes, which must start and end with their buffer. */
  static fromBytes(type, bytes, dims) {
    return new Tensor(type, new ARRAYS[type](bytes.buffer), dims);
  }

  get data() {
    if (this.cpuData === undefined) throw new Error('The tensor is disposed.');
    return this.cpuData;
  }

  async getData() {
    return this.data;
  }

  /** The same data with other dimensions. */
  reshape(dims) {
    return new Tensor(this.type, this.data, dims);
  }

  dispose() {
    this.cpuData = undefined;
    this.location = 'none';
  }
}

for (const source of ['Image', 'Texture', 'GpuBuffer', 'MLTensor']) {
  Tensor[`from${source}`] = () => {
    throw new FourlaneError('bad-input', `Tensor.from${source} is not there: fourlane's tensors are arrays in memory`);
  };
}

/** Whether it is a tensor, of this class or of onnxruntime's own, which programs may have from elsewhere. */
export function isTensor(value) {
  return value instanceof Tensor || (typeof value?.type === 'string' && Array.isArray(value.dims) && 'data' in value);
}

function infer(data) {
  if (Array.isArray(data)) {
    if (data.length === 0) throw new TypeError('Tensor type cannot be inferred from an empty array.');
    const type = { string: 'string', boolean: 'bool' }[typeof data[0]];
    if (type === undefined) throw new TypeError(`Invalid element type of data array: ${typeof data[0]}.`);
    return type;
  }
  if (data instanceof Uint8ClampedArray) return 'uint8';
  const type = Object.keys(ARRAYS).find((name) => name !== 'bool' && data?.constructor === ARRAYS[name]);
  // Without a Float16Array, a Uint16Array is integers.
  if (type === undefined) throw new TypeError(`Unsupported type for tensor data: ${kind(data)}.`);
  return data instanceof Uint16Array ? 'uint16' : type;
}

function convert(type, data) {
  if (type === 'string') {
    if (!Array.isArray(data)) throw new TypeError("A string tensor's data must be a string array.");
    return data;
  }
  if (!Object.hasOwn(ARRAYS, type)) throw new TypeError(`Unsupported tensor type: ${type}.`);
  const Wanted = ARRAYS[type];
  if (data instanceof Wanted) return data;
  if (Array.isArray(data)) {
    if (type === 'float16' && Wanted === Uint16Array) {
      throw new TypeError('Creating a float16 tensor from number array is not supported. Please use Uint16Array as data.');
    }
    return type === 'int64' || type === 'uint64' ? Wanted.from(data, BigInt) : Wanted.from(data);
  }
  if (type === 'uint8' && data instanceof Uint8ClampedArray) return Uint8Array.from(data);
  if (type === 'float16' && data instanceof Uint16Array) {
    return new Wanted(data.buffer, data.byteOffset, data.length);
  }
  throw new TypeError(`A ${type} tensor's data must be type of ${Wanted.name}, got ${kind(data)}`);
}

function sizeOf(dims) {
  dims.forEach((dim, i) => {
    if (!Number.isSafeInteger(dim)) throw new TypeError(`dims[${i}] must be an integer, got: ${dim}`);
    if (dim < 0) throw new RangeError(`dims[${i}] must be a non-negative integer, got: ${dim}`);
  });
  return dims.reduce((product, dim) => product * dim, 1);
}
