// Tensors as onnxruntime makes them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tensor } from 'fourlane/ort';

test('made of a type and data', () => {
  const tensor = new Tensor('int64', [1, 2n, 3, 4], [2, 2]);
  assert.deepEqual(tensor.data, BigInt64Array.of(1n, 2n, 3n, 4n));
  assert.deepEqual([tensor.type, tensor.dims, tensor.size], ['int64', [2, 2], 4]);
  assert.deepEqual(new Tensor('float32', [1, 2]).dims, [2]);
  assert.deepEqual(new Tensor('bool', [true, false]).data, Uint8Array.of(1, 0));
  assert.deepEqual(new Tensor('uint8', Uint8ClampedArray.of(300)).data, Uint8Array.of(255));
  assert.deepEqual(new Tensor('float32', [7], []).dims, []);
  const data = new Float32Array(4);
  assert.equal(new Tensor('float32', data, [4]).data, data);
});

test('made of data alone', () => {
  const arrays = {
    float32: new Float32Array(2), float64: new Float64Array(2), int64: new BigInt64Array(2), uint64: new BigUint64Array(2),
    int32: new Int32Array(2), uint32: new Uint32Array(2), int16: new Int16Array(2), uint16: new Uint16Array(2),
    int8: new Int8Array(2), uint8: new Uint8Array(2),
  };
  for (const [type, array] of Object.entries(arrays)) assert.equal(new Tensor(array, [1, 2]).type, type);
  assert.equal(new Tensor([true]).type, 'bool');
  assert.equal(new Tensor(['a', 'b']).type, 'string');
  assert.equal(new Tensor(new Uint8ClampedArray(1)).type, 'uint8');
});

test('reshaped and disposed', () => {
  const tensor = new Tensor('float32', [1, 2, 3, 4, 5, 6], [2, 3]);
  const other = tensor.reshape([3, 2]);
  assert.deepEqual(other.dims, [3, 2]);
  assert.equal(other.data, tensor.data);
  assert.throws(() => tensor.reshape([4]), /size\(4\) does not match data length\(6\)/);
  tensor.dispose();
  assert.equal(tensor.location, 'none');
  assert.throws(() => tensor.data, /disposed/);
  assert.equal(other.data.length, 6);
  const bits = new Uint8Array(24);
  other.cpuData = bits; // as transformers.js does
  assert.equal(other.data, bits);
});

test('what tensors cannot be made of', () => {
  for (const source of ['Image', 'Texture', 'GpuBuffer', 'MLTensor']) {
    const error = { name: 'FourlaneError', code: 'bad-input', message: new RegExp(`from${source} .*in memory`) };
    assert.throws(() => Tensor[`from${source}`](), error);
  }
});

test('wrong arguments', () => {
  const wrong = [
    [['int63', [1]], TypeError],
    [['int64', new Int32Array(1)], TypeError],
    [['float32', 'text'], TypeError],
    [['string', new Uint8Array(1)], TypeError],
    [[[]], TypeError],
    [[[1, 2]], TypeError],
    [[{}], TypeError],
    [[undefined], TypeError],
    [['float32', [1], 1], TypeError],
    [['float32', [1], [1.5]], TypeError],
    [['float32', [1], ['1']], TypeError],
    [['float32', [1], [-1]], RangeError],
    [['float32', [1, 2], [3]], Error],
  ];
  for (const [args, error] of wrong) assert.throws(() => new Tensor(...args), error, JSON.stringify(args));
});
