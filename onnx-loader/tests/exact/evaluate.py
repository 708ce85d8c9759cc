"""Writes what exact arithmetic makes of a model: NAME.expected.json from NAME.onnx and the inputs recorded for it.

    python3 evaluate.py FOLDER NAME...        (needs numpy and onnx)
    python3 evaluate.py --default FOLDER NAME...
    python3 evaluate.py --saturate FOLDER NAME...

The second form writes to `default/`. The third writes nothing and proves why a recording is replaced: it adds products of
unsigned and signed bytes as onnxruntime's AVX2 kernel does, in pairs that saturate at 16 bits, makes 0 of a softmax over
one key as a release of it did, and fails if that does not give the recording within what it allows.

Everything that is float in the file is float64 here, but for what is dequantised, which is rounded to float32;
quantisation rounds to the nearest integer, ties to even, as the operators say.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
SATURATE = "--saturate" in sys.argv
DEFAULT = "--default" in sys.argv
FP4 = [0.0, 0.005208333, 2 / 3, 1.0, 1 / 3, 0.5, 1 / 6, 0.25]


def along(values, rank, axis):
    """Scales or zero points, shaped so that they broadcast along an axis."""
    values = np.asarray(values, np.float64)
    if values.size == 1:
        return values.reshape(())
    shape = [1] * rank
    shape[axis] = -1
    return values.reshape(shape)


def dequantize(x, scale, zero=None, axis=1):
    zero = 0 if zero is None else along(zero, x.ndim, axis)
    y = (x.astype(np.float64) - zero) * along(scale, x.ndim, axis)
    # Masks depend on it: 255 times the float32 next to 1 / 255 is 1 only in float32.
    return y.astype(np.float32).astype(np.float64)


def quantize(x, scale, zero=None, axis=1):
    zero = np.uint8(0) if zero is None else np.asarray(zero)
    limits = np.iinfo(zero.dtype)
    y = np.rint(x / along(scale, x.ndim, axis)) + along(zero, x.ndim, axis)
    return np.clip(y, limits.min, limits.max).astype(zero.dtype)


def softmax(x):
    if SATURATE and x.shape[-1] == 1:
        return np.zeros_like(x)
    y = np.exp(x - x.max(-1, keepdims=True))
    return y / y.sum(-1, keepdims=True)


def product(a, a_scale, a_zero, b, b_scale, b_zero, axis):
    """Of integers, scaled afterwards."""
    x = a.astype(np.float64) - along(0 if a_zero is None else a_zero, a.ndim, -1)
    y = b.astype(np.float64) - along(0 if b_zero is None else b_zero, b.ndim, axis)
    y, scale = (y.T, along(b_scale, 2, 1)) if axis == 0 else (y, along(b_scale, b.ndim, -1))
    result = x @ y
    if SATURATE and a.dtype == np.uint8 and b.dtype == np.int8:
        raw = [a.astype(np.float64), (b.T if axis == 0 else b).astype(np.float64)]
        if a.shape[-1] % 2:
            raw = [np.concatenate([raw[0], 0 * raw[0][..., :1]], -1), np.concatenate([raw[1], 0 * raw[1][..., :1, :]], -2)]
        pairs = [raw[0][..., :, i::2, None] * raw[1][..., None, i::2, :] for i in (0, 1)]
        pairs = pairs[0] + pairs[1]
        result += (np.clip(pairs, -32768, 32767) - pairs).sum(-2)
    return result * (np.float64(a_scale) * scale)


def gemm(a, a_scale, a_zero, b, b_scale, b_zero, bias, y_scale, y_zero, trans_b):
    y = product(a, a_scale, a_zero, b, b_scale, b_zero, 0 if trans_b else -1)
    if bias is not None:
        y = y + bias * (np.float64(a_scale) * np.asarray(b_scale, np.float64).reshape(-1))
    return quantize(y, y_scale, y_zero)


def operator(name, domain, run):
    """An operator of the evaluator; attributes that are not given are None."""
    return type(name, (OpRun,), {"op_domain": domain, "_run": lambda self, *x, **a: (run(*x, **a),)})


MS = "com.microsoft"
OPERATORS = [
    operator("DequantizeLinear", "", lambda x, s, z=None, axis=None, **_: dequantize(x, s, z, 1 if axis is None else axis)),
    operator("QuantizeLinear", "", lambda x, s, z=None, axis=None, **_: quantize(x, s, z, 1 if axis is None else axis)),
    operator("QLinearMatMul", "", lambda a, sa, za, b, sb, zb, sy, zy, **_: quantize(
        product(a, sa, za, b, sb, zb, -1), sy, zy)),
    operator("QGemm", MS, lambda a, sa, za, b, sb, zb, c=None, sy=None, zy=None, transB=0, **_: gemm(
        a, sa, za, b, sb, zb, c, sy, zy, transB)),
    operator("QLinearAdd", MS, lambda a, sa, za, b, sb, zb, sy, zy, **_: quantize(
        dequantize(a, sa, za) + dequantize(b, sb, zb), sy, zy)),
    operator("QLinearMul", MS, lambda a, sa, za, b, sb, zb, sy, zy, **_: quantize(
        dequantize(a, sa, za) * dequantize(b, sb, zb), sy, zy)),
    operator("QLinearSoftmax", MS, lambda x, sx, zx, sy, zy, **_: quantize(softmax(dequantize(x, sx, zx)), sy, zy)),
]


def expanded(node, constants):
    """The weight [k, n] of a product with blocks of 4-bit codes."""
    a = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    k, n, block = a["K"], a["N"], a["block_size"]
    codes, scales = constants[node.input[1]].reshape(-1), constants[node.input[2]].astype(np.float64)
    if node.op_type == "MatMulBnb4":
        levels = np.array(NF4 if a["quant_type"] == 1 else FP4 + [-level for level in FP4])
        codes = np.stack([codes >> 4, codes & 15], 1).reshape(-1)[:n * k]
        return (levels[codes] * np.repeat(scales.reshape(-1), block)[:n * k]).reshape(n, k).T
    assert a.get("bits", 4) == 4 and len(node.input) == 3, "written for what the models here have"
    values = np.stack([codes & 15, codes >> 4], 1).reshape(n, -1, block) - 8.0
    return (values * scales.reshape(n, -1, 1)).reshape(n, -1)[:, :k].T


def is_float(dtype):
    return dtype in (np.float32, np.float16)


def widened(model):
    """The model with every float a float64."""
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("MatMulBnb4", "MatMulNBits"):
            name = node.output[0] + ".weight"
            constants[name] = np.ascontiguousarray(expanded(node, constants))
            x, output = node.input[0], node.output[0]
            node.CopyFrom(helper.make_node("MatMul", [x, name], [output]))
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in (1, 10):
                attribute.i = 11
            if attribute.type == onnx.AttributeProto.TENSOR:
                value = numpy_helper.to_array(attribute.t)
                if is_float(value.dtype):
                    attribute.t.CopyFrom(numpy_helper.from_array(value.astype(np.float64)))
    del graph.initializer[:], graph.value_info[:]
    for name, value in constants.items():
        value = value.astype(np.float64) if is_float(value.dtype) else value
        graph.initializer.append(numpy_helper.from_array(value, name))
    for port in graph.output:
        port.type.tensor_type.elem_type = 11
    return model


def main(folder, *names):
    """Returns how far the outputs are off the recording, in units of what it allows."""
    folder, farthest = pathlib.Path(folder), 0
    for name in names:
        evaluator = ReferenceEvaluator(widened(onnx.load(folder / f"{name}.onnx")), new_ops=OPERATORS)
        recorded = json.loads((folder / f"{name}.expected.json").read_text())
        for case in recorded["cases"]:
            inputs = {key: np.array(x["data"], x["type"]).reshape(x["shape"]) for key, x in case["inputs"].items()}
            for key, value in zip(case["outputs"], evaluator.run(list(case["outputs"]), inputs)):
                distance = np.abs(value.reshape(-1) - case["outputs"][key]["data"]).max()
                farthest = max(farthest, distance / recorded["atol"])
                print(f"{name}: {list(value.shape)} off the recording by {distance:.1e}")
                case["outputs"][key]["data"] = [float(np.float32(x)) for x in value.reshape(-1)]
        if SATURATE:
            continue
        kept = {"model": recorded["model"], "reference": "exact", "atol": recorded["atol"], "cases": recorded["cases"]}
        path = pathlib.Path(__file__).parent / ("default" if DEFAULT else "") / f"{name}.expected.json"
        path.write_text(json.dumps(kept, separators=(",", ":")) + "\n")
    return farthest


FARTHEST = main(*(word for word in sys.argv[1:] if not word.startswith("--")))
sys.exit(SATURATE and FARTHEST > 1)
