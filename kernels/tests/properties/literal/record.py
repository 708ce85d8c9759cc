"""Writes recorded.txt: bits that onnxruntime gives, for `literal.rs`. Needs onnx and onnxruntime, on x86-64 with AVX-512.

A line is a name and the results in hexadecimal. Arguments are `numbers(first, count)`, which the test makes, too.
"""

import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto, helper


def numbers(first, *shape):
    i = np.arange(first, first + np.prod(shape), dtype=np.uint64)
    return ((i * 2654435761 % 2**32 >> 8).astype(np.float32) / 2**21 - 4).reshape(shape)


def run(operator, *inputs, domain="", opset=20, **attributes):
    names = [f"x{i}" for i in range(len(inputs))]
    node = helper.make_node(operator, names, ["y"], domain=domain, **attributes)
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, x.shape) for name, x in zip(names, inputs)]
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph([node], "g", ports, [result]), opset_imports=opsets, ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs)))[0]


vector, rows = numbers(0, 64), numbers(100, 2, 64)
scale, bias = numbers(300, 64), numbers(400, 64)
epsilon = {"epsilon": 1e-5}
results = {
    "erf": run("Erf", vector),
    "tanh": run("Tanh", vector),
    "gelu": run("Gelu", vector),
    "gelu_tanh": run("Gelu", vector, approximate="tanh"),
    "softmax": run("Softmax", numbers(0, 3, 37), axis=-1),
    "mean": run("ReduceMean", numbers(0, 4, 44), opset=17, axes=[1]),
    "wide": run("LayerNormalization", rows, scale, bias, **epsilon),
    "running": run("SkipLayerNormalization", rows[None], 0 * rows[None], scale, bias, domain="com.microsoft", **epsilon),
    "product": run("MatMul", numbers(0, 3, 300), numbers(1000, 300, 20)),
}
lines = [f"{name} {' '.join(f'{x:08x}' for x in y.reshape(-1).view(np.uint32))}\n" for name, y in results.items()]
pathlib.Path(__file__).with_name("recorded.txt").write_text("".join(lines))
