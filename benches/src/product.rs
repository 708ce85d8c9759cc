//! Models that are one product of matrices, so that engines can be compared in nothing else.

use crate::models::{Kind, Weight};
use crate::wire::{bytes, number};

/// `k, n` of the products of a DistilBERT layer.
pub const SHAPES: [[usize; 2]; 3] = [[768, 768], [768, 3072], [3072, 768]];

// ONNX's numbers of types.
const FLOAT: u64 = 1;
const UINT8: u64 = 2;
const INT8: u64 = 3;
const INT32: u64 = 6;

/// An ONNX file with `y = a b`: `a` is `[m, k]` for any m, of floats or, if `integers`, of u8; `b` is a constant
/// `[k, n]` of floats or i8.
pub fn model([k, n]: [usize; 2], integers: bool) -> Vec<u8> {
    let (op, a_type, b_type, y_type, kind) = match integers {
        true => ("MatMulInteger", UINT8, INT8, INT32, Kind::I8),
        false => ("MatMul", FLOAT, FLOAT, FLOAT, Kind::F32),
    };
    let mut weights = Vec::new();
    Weight { name: "b".into(), kind, count: k * n, seed: 1, scale: 1e-5 }.fill(0..k * n, &mut weights);
    let node = [bytes(1, "a"), bytes(1, "b"), bytes(2, "y"), bytes(3, "product"), bytes(4, op)].concat();
    let b = [number(1, k as u64), number(1, n as u64), number(2, b_type), bytes(8, "b"), bytes(9, weights)].concat();
    let graph = [
        bytes(1, node),
        bytes(2, "product"),
        bytes(5, b),
        bytes(11, port("a", a_type, k)),
        bytes(12, port("y", y_type, n)),
    ];
    let opset = number(2, 13);
    [number(1, 8), bytes(7, graph.concat()), bytes(8, opset)].concat()
}

/// An input or output `[m, columns]`.
fn port(name: &str, element: u64, columns: usize) -> Vec<u8> {
    let shape = [bytes(1, bytes(2, "m")), bytes(1, number(1, columns as u64))].concat();
    let tensor = [number(1, element), bytes(2, shape)].concat();
    [bytes(1, name), bytes(2, bytes(1, tensor))].concat()
}
