// Writes the smallest of ONNX files: y = x + the sum of some initializers, for tests of where weights come from; and more.

const FLOAT = 1;
const INT64 = 7;

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

const number = (field, value) => [...varint(field * 8), ...varint(value)];

function message(field, content) {
  const bytes = typeof content === 'string' ? [...new TextEncoder().encode(content)] : content.flat(Infinity);
  return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];
}

function port(field, name, dims) {
  const shape = dims.map((dim) => message(1, [number(1, dim)]));
  return message(field, [message(1, name), message(2, [message(1, [number(1, FLOAT), message(2, shape)])])]);
}

/**
 * The bytes of a model over vectors of `length` floats. `weights` are initializers: `{ name, external }`, with the
 * entries of its `external_data`.
 */
export function sum(length, weights) {
  const initializer = ({ name, external }) => {
    const entries = Object.entries(external).map(([key, value]) => message(13, [message(1, key), message(2, `${value}`)]));
    return message(5, [number(1, length), number(2, FLOAT), message(8, name), entries, number(14, 1)]);
  };
  const add = ({ name }, i) => {
    const output = i === weights.length - 1 ? 'y' : `sum${i}`;
    return message(1, [message(1, i === 0 ? 'x' : `sum${i - 1}`), message(1, name), message(2, output), message(4, 'Add')]);
  };
  const graph = [weights.map(add), weights.map(initializer), port(11, 'x', [length]), port(12, 'y', [length])];
  return Uint8Array.from([number(1, 8), message(7, graph), message(8, [number(2, 17)])].flat(Infinity));
}

/** The bytes of a model that is one TopK, of an input of any rank. */
export function best() {
  const value = (field, name, type, shape = []) =>
    message(field, [message(1, name), message(2, [message(1, [number(1, type), shape])])]);
  const operands = [message(1, 'x'), message(1, 'k'), message(2, 'values'), message(2, 'indices')];
  const node = message(1, [operands, message(4, 'TopK')]);
  const inputs = [value(11, 'x', FLOAT), value(11, 'k', INT64, message(2, [message(1, [number(1, 1)])]))];
  const graph = [node, inputs, value(12, 'values', FLOAT), value(12, 'indices', INT64)];
  return Uint8Array.from([number(1, 8), message(7, graph), message(8, [number(2, 21)])].flat(Infinity));
}

/** Floats as bytes. */
export function floats(...values) {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** A safetensors file: `tensors` has `[dtype, shape, bytes]` by name. */
export function safetensors(tensors) {
  let end = 0;
  const entry = ([name, [dtype, shape, bytes]]) => [name, { dtype, shape, data_offsets: [end, (end += bytes.length)] }];
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(Object.entries(tensors).map(entry))));
  const length = new Uint8Array(new BigUint64Array([BigInt(header.length)]).buffer);
  return Uint8Array.from([length, header, ...Object.values(tensors).map((tensor) => tensor[2])].flatMap((part) => [...part]));
}
