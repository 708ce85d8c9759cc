//! Constants: every field that elements can be in, every way in which they can be wrong.

use super::*;
use fourlane_graph::ir::Tensor;

/// The constant that a tensor becomes.
fn constant(tensor: TensorProto) -> Result<Tensor, LoadError> {
    let name = tensor.name.clone();
    let model = file(17).initializer(tensor).output(&name).load()?;
    Ok(model.constants[&model.outputs[0].value].clone())
}

fn tensor(data_type: i32, dims: &[i64]) -> TensorProto {
    TensorProto { name: "w".into(), data_type, dims: dims.into(), ..Default::default() }
}

#[test]
fn typed_fields_follow_their_rules() {
    let int32 = |code| TensorProto { int32_data: vec![1, -2, 0x3c00], ..tensor(code, &[3]) };
    let integers = |code| {
        let tensor = constant(int32(code)).unwrap();
        (tensor.dtype, tensor.integers().unwrap_or_default())
    };
    assert_eq!(integers(data_type::INT32), (DType::I32, vec![1, -2, 0x3c00]));
    assert_eq!(integers(data_type::INT16), (DType::I64, vec![1, -2, 0x3c00]));
    assert_eq!(integers(data_type::UINT16), (DType::I64, vec![1, 65534, 0x3c00]));
    assert_eq!(integers(data_type::INT8), (DType::I8, vec![1, -2, 0]));
    assert_eq!(integers(data_type::UINT8), (DType::U8, vec![1, 254, 0]));
    assert_eq!(integers(data_type::BOOL), (DType::Bool, vec![1, 1, 0]));

    let half = constant(int32(data_type::FLOAT16)).unwrap();
    assert_eq!((half.dtype, &half.data[4..]), (DType::F16, &[0x00, 0x3c][..]));
    let brain = constant(int32(data_type::BFLOAT16)).unwrap();
    assert_eq!((brain.dtype, &brain.data[4..]), (DType::BF16, &[0x00, 0x3c][..]));

    let float = TensorProto { float_data: vec![0.5, -1.0], ..tensor(data_type::FLOAT, &[2]) };
    assert_eq!(constant(float).unwrap().floats().unwrap(), [0.5, -1.0]);
    let double = TensorProto { double_data: vec![0.5, 1e300], ..tensor(data_type::DOUBLE, &[2]) };
    assert_eq!(constant(double).unwrap().floats().unwrap(), [0.5, f32::INFINITY]);
    let long = TensorProto { int64_data: vec![i64::MIN], ..tensor(data_type::INT64, &[1]) };
    assert_eq!(constant(long).unwrap().integers().unwrap(), [i64::MIN]);
    let unsigned = TensorProto { uint64_data: vec![u32::MAX.into()], ..tensor(data_type::UINT32, &[]) };
    assert_eq!(constant(unsigned).unwrap().integers().unwrap(), [i64::from(u32::MAX)]);
    let large = TensorProto { uint64_data: vec![u64::MAX], ..tensor(data_type::UINT64, &[1]) };
    assert_eq!(constant(large).unwrap_err().to_string(), "tensor 'w' holds a number above the range of int64");
}

#[test]
fn raw_data_is_widened_like_typed_fields() {
    let raw = |code, dims: &[i64], bytes: &[u8]| {
        constant(TensorProto { raw_data: Some(bytes.to_vec()), ..tensor(code, dims) }).unwrap()
    };
    assert_eq!(raw(data_type::BOOL, &[3], &[0, 1, 255]).data, [0, 1, 1][..]);
    assert_eq!(raw(data_type::INT16, &[2], &[0xff, 0xff, 2, 0]).integers().unwrap(), [-1, 2]);
    assert_eq!(raw(data_type::DOUBLE, &[], &0.25f64.to_le_bytes()).floats().unwrap(), [0.25]);
    assert_eq!(raw(data_type::FLOAT, &[0, 5], &[]).shape, [0, 5]);
}

#[test]
fn two_integers_of_4_bits_are_in_one_byte() {
    let raw = |code, dims: &[i64], bytes: &[u8]| {
        constant(TensorProto { raw_data: Some(bytes.to_vec()), ..tensor(code, dims) })
    };
    let unsigned = raw(data_type::UINT4, &[3], &[0x81, 0x0f]).unwrap();
    assert_eq!((unsigned.dtype, unsigned.integers().unwrap()), (DType::U8, vec![1, 8, 15]));
    let signed = raw(data_type::INT4, &[4], &[0x81, 0x7f]).unwrap();
    assert_eq!((signed.dtype, signed.integers().unwrap()), (DType::I8, vec![1, -8, -1, 7]));
    // In matrices they stay two in a byte, unless a row would end within one.
    let packed = raw(data_type::INT4, &[2, 4], &[0x81, 0x7f, 0x12, 0x34]).unwrap();
    assert_eq!((packed.dtype, packed.shape, &packed.data[..2]), (DType::U8, vec![2, 2], &[0x81, 0x7f][..]));
    let odd = raw(data_type::UINT4, &[2, 1], &[0x81]).unwrap();
    assert_eq!((odd.shape.clone(), odd.integers().unwrap()), (vec![2, 1], vec![1, 8]));
    let typed = TensorProto { int32_data: vec![0x21, 0x03], ..tensor(data_type::UINT4, &[3]) };
    assert_eq!(constant(typed).unwrap().integers().unwrap(), [1, 2, 3]);
    assert!(raw(data_type::INT4, &[0, 3], &[]).unwrap().is_empty());
    let error = raw(data_type::INT4, &[3], &[0]).unwrap_err().to_string();
    assert_eq!(error, "tensor 'w' holds 1 bytes where [3] of int4 need 2");
    // They exist in constants only.
    let port = file(21).typed_input("x", data_type::INT4, &["n"]).output("x");
    assert_eq!(port.error(), "model input 'x' holds int4, which is for constants");
    assert!(single(21, "Cast", "x", vec![int("to", 22)]).error().contains("Cast (to int4)"));
}

#[test]
fn data_and_dimensions_must_fit() {
    let error = |dims: &[i64]| constant(zeros("w", data_type::FLOAT, dims, 8)).unwrap_err().to_string();
    assert_eq!(error(&[3]), "tensor 'w' holds 8 bytes where [3] of float need 12");
    assert_eq!(error(&[0]), "tensor 'w' holds 8 bytes where [0] of float need 0");
    assert_eq!(error(&[-2, -1]), "tensor 'w' has a dimension of -2");
    let huge = "tensor 'w' has more elements than fit in memory: ";
    // Each fits, also where a pointer has 32 bits.
    const LARGE: i64 = 1 << 31;
    assert!(error(&[LARGE, LARGE, LARGE]).starts_with(huge));
    assert!(error(&[LARGE, 0, LARGE, LARGE]).starts_with(huge));
}

#[test]
fn types_that_do_not_exist_are_named() {
    let float4 = || zeros("w", 23, &[2], 1);
    let model = file(21).initializer(float4()).initializer(floats_tensor("s", &[], &[1.0])).output("out").node(
        "DequantizeLinear",
        "w s",
        "out",
        vec![],
    );
    assert!(model.error().ends_with("DequantizeLinear (of float4e2m1 elements) in 1 node 'n0 (tensor w)'"));
    assert_eq!(
        constant(float4()).unwrap_err().to_string(),
        "model output 'w' is a constant of a type that is not supported"
    );
    // A constant that nothing reads is nobody's problem.
    becomes(&file(21).input("x", &["n"]).initializer(float4()).output("x"), "-> x");
}
