//! From floats to integers of 4, 8 and 16 bits and back.

use super::*;

fn integer(name: &str, data_type: i32, dims: &[i64], int32_data: &[i32]) -> TensorProto {
    TensorProto { name: name.into(), data_type, dims: dims.into(), int32_data: int32_data.into(), ..Default::default() }
}

/// `x` quantised with scale `s` and, if there is one, zero point `z`.
fn quantize(scale: f32, zero: Option<TensorProto>, attributes: Vec<AttributeProto>) -> ModelProto {
    let model = file(21).input("x", &["n"]).initializer(floats_tensor("s", &[], &[scale])).output("q");
    let model = model.node("QuantizeLinear", if zero.is_some() { "x s z" } else { "x s" }, "q", attributes);
    zero.into_iter().fold(model, ModelProto::initializer)
}

#[test]
fn bytes_have_operators() {
    let zero = |code| Some(integer("z", code, &[], &[3]));
    let expected = "%0 = QuantizeLinear { axis: 1 } x 0.1 3\n -> %0";
    becomes(&quantize(0.1, zero(data_type::INT8), vec![]), expected);
    becomes(&quantize(0.1, zero(data_type::UINT8), vec![]), expected);
    becomes(&quantize(0.1, None, vec![]), "%0 = QuantizeLinear { axis: 1 } x 0.1\n -> %0");
    let error = |zero, attributes| quantize(0.1, zero, attributes).error();
    assert!(error(zero(data_type::INT32), vec![]).contains("other than int8, uint8, int16 and uint16"));
    assert!(error(None, vec![int("output_dtype", 22)]).contains("other than int8, uint8, int16 and uint16"));
    assert!(error(None, vec![int("output_dtype", 3)]).contains("without a zero point to int8"));
    assert!(error(None, vec![int("block_size", 32)]).contains("block_size=32"));
    let back = file(13).typed_input("q", data_type::INT32, &["n"]).input("s", &[]).output("out");
    becomes(
        &back.node("DequantizeLinear", "q s", "out", vec![int("axis", 0)]),
        "%0 = DequantizeLinear { axis: 0 } q s\n -> %0",
    );
    becomes(
        &file(11).input("x", &["n"]).output("y").output("zp").node("DynamicQuantizeLinear", "x", "y s zp", vec![]),
        "%0 %1 %2 = DynamicQuantizeLinear x\n -> %0 %2",
    );
}

#[test]
fn sixteen_bits_are_arithmetic() {
    let expected = "%0 = Binary(Div) x 0.1
         %1 = Binary(Max) %0 0.0
         %2 = Binary(Min) %1 65535.0
         %3 = Binary(Add) %2 12582912.0
         %4 = Binary(Sub) %3 12582912.0
         %5 = Cast(I32) %4
         -> %5";
    becomes(&quantize(0.1, None, vec![int("output_dtype", data_type::UINT16.into())]), expected);
    becomes(
        &file(21)
            .initializer(integer("w", data_type::INT16, &[5], &[1, 2, 3, 4, 5]))
            .initializer(floats_tensor("s", &[], &[0.5]))
            .initializer(integer("z", data_type::INT16, &[], &[-7]))
            .output("out")
            .node("DequantizeLinear", "w s z", "out", vec![]),
        "%0 = Cast(I32) int64[5]\n %1 = Cast(I32) -7\n %2 = DequantizeLinear { axis: 1 } %0 0.5 %1\n -> %2",
    );
    let many = quantize(0.1, Some(integer("z", data_type::UINT16, &[], &[0])), vec![]);
    let many = many.input("scales", &["n"]).node("QuantizeLinear", "x scales z", "r", vec![]).output("r");
    assert!(many.error().contains("to 16 bits with more than one scale"));
}

#[test]
fn sixteen_bits_round_half_to_even_and_clamp() {
    // The scale is a power of two: quotients are exact, and every other one is a tie.
    let scale = 0.25f32;
    let mut x: Vec<f32> = (-300..300).map(|i| i as f32 * scale / 2.0).collect();
    x.extend((-70_000..70_000).step_by(997).map(|i| (i as f32 + 0.5) * scale));
    x.extend([1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY, -0.0]);
    for (code, low, high, zero) in [
        (data_type::UINT16, 0.0, 65535.0, 32_768),
        (data_type::UINT16, 0.0, 65535.0, 65_535),
        (data_type::INT16, -32768.0, 32767.0, -5),
        (data_type::INT16, -32768.0, 32767.0, 32_767),
    ] {
        let mut model = quantize(scale, Some(integer("z", code, &[], &[zero])), vec![]);
        model.graph_mut().output.clear();
        let model = model.node("DequantizeLinear", "q s z", "out", vec![]).output("out");
        let zero = zero as f32;
        let naive = |x: &f32| (((x / scale).round_ties_even() + zero).clamp(low, high) - zero) * scale;
        let expected: Vec<f32> = x.iter().map(naive).collect();
        assert_eq!(run(&model, &[x.len()], &x), expected, "zero point {zero}");
    }
}

/// `x + dequantised(w)`, with blocks of two along an axis.
fn blocks(weight: TensorProto, scale: TensorProto, zero: Option<TensorProto>, axis: i64, block: i64) -> ModelProto {
    let model = file(21).input("x", &["n"]).initializer(weight).initializer(scale).output("out");
    let inputs = if zero.is_some() { "w s z" } else { "w s" };
    let model = zero.into_iter().fold(model, ModelProto::initializer);
    let model = model.node("DequantizeLinear", inputs, "y", vec![int("axis", axis), int("block_size", block)]);
    model.node("Add", "y x", "out", vec![])
}

#[test]
fn blocks_share_scales() {
    // Rows 0 and 1 of `[4, 3]` are one block, rows 2 and 3 the other.
    let weight = || integer("w", data_type::UINT4, &[4, 3], &[0x21, 0x43, 0x65, 0x87, 0xa9, 0xcb]);
    let scale = || floats_tensor("s", &[2, 3], &[1.0, 10.0, 100.0, 0.5, 0.25, 2.0]);
    let zero = || integer("z", data_type::UINT4, &[2, 3], &[0x11, 0x02, 0x80]);
    let expected = [0.0, 10.0, 100.0, 3.0, 40.0, 400.0, 3.5, 2.0, 2.0, 5.0, 2.75, 8.0];
    for axis in [0, -2] {
        assert_eq!(run(&blocks(weight(), scale(), Some(zero()), axis, 2), &[1], &[0.0]), expected);
    }
    // Signed, along the last axis, without zero points.
    let signed = integer("w", data_type::INT4, &[2, 2], &[0x81, 0x7f]);
    let scale = floats_tensor("s", &[2, 1], &[1.0, 0.5]);
    assert_eq!(run(&blocks(signed, scale, None, 1, 2), &[1], &[1.0]), [2.0, -7.0, 0.5, 4.5]);
}

#[test]
fn blocks_fill_an_axis_of_a_constant() {
    let weight = || integer("w", data_type::UINT4, &[4, 3], &[0; 6]);
    let scale = || floats_tensor("s", &[2, 3], &[1.0; 6]);
    for (axis, block) in [(0, 3), (0, -1), (2, 2), (-3, 2), (i64::MAX, 2), (i64::MIN, 2)] {
        assert!(blocks(weight(), scale(), None, axis, block).error().contains("blocks that do not fill the axis"));
    }
    let model = file(21).typed_input("q", data_type::UINT8, &["n"]).initializer(scale()).output("out");
    let model = model.node("DequantizeLinear", "q s", "out", vec![int("block_size", 2)]);
    assert!(model.error().contains("with blocks of what is no constant"));
}

/// A product of `x` with a dequantised weight: `[32, 6]`, or its transpose through `Gemm`.
struct Weight {
    code: i32,
    turned: bool,
    /// 0 means a scale for each column of the product.
    block: i64,
    with_zeros: bool,
}

impl Weight {
    const K: usize = 32;
    const N: usize = 6;

    fn dims(&self, of_k: usize) -> [usize; 2] {
        if self.turned { [Self::N, of_k] } else { [of_k, Self::N] }
    }

    /// Numbers without a pattern, in the range of the type.
    fn number(&self, salt: usize, at: usize) -> i32 {
        let bits = ((at * 37 + salt) ^ (at >> 2)) as i32 & 0xff;
        match self.code {
            data_type::INT4 => (bits & 15) - 8,
            data_type::UINT4 => bits & 15,
            data_type::INT8 => bits - 128,
            data_type::INT16 => 3 * bits - 400,
            data_type::UINT16 => 3 * bits + 200,
            _ => bits,
        }
    }

    fn tensor(&self, name: &str, dims: &[usize], salt: usize) -> TensorProto {
        let numbers: Vec<i32> = (0..dims.iter().product()).map(|at| self.number(salt, at)).collect();
        let numbers = match self.code {
            data_type::INT4 | data_type::UINT4 => {
                numbers.chunks(2).map(|pair| pair[0] & 15 | (pair.get(1).unwrap_or(&0) & 15) << 4).collect()
            }
            _ => numbers,
        };
        integer(name, self.code, &dims.map_to_i64(), &numbers)
    }

    /// Scales and zero points: for each block or each column.
    fn few(&self) -> Vec<usize> {
        if self.block == 0 { vec![Self::N] } else { self.dims(Self::K / self.block as usize).to_vec() }
    }

    fn scale(at: usize) -> f32 {
        (at % 5 + 1) as f32 / 64.0
    }

    fn model(&self) -> ModelProto {
        let few = self.few();
        let scales: Vec<f32> = (0..few.iter().product()).map(Self::scale).collect();
        let model = file(21).input("x", &["rows", "32"]).output("out");
        let model = model.initializer(self.tensor("w", &self.dims(Self::K), 5));
        let model = model.initializer(floats_tensor("s", &few.map_to_i64(), &scales));
        let model = model.initializer(self.tensor("z", &few, 11));
        let axis = if self.block == 0 { usize::from(!self.turned) } else { usize::from(self.turned) };
        let attributes = vec![int("axis", axis as i64), int("block_size", self.block)];
        let model = model.node("DequantizeLinear", if self.with_zeros { "w s z" } else { "w s" }, "f", attributes);
        match self.turned {
            true => model.node("Gemm", "x f", "out", vec![int("transB", 1)]),
            false => model.node("MatMul", "x f", "out", vec![]),
        }
    }

    /// Element `(l, j)` of `[k, n]`.
    fn value(&self, l: usize, j: usize) -> f32 {
        let [_, cols] = self.dims(Self::K);
        let at = |l: usize, j: usize, cols: usize| if self.turned { j * cols + l } else { l * cols + j };
        let few = if self.block == 0 {
            j
        } else {
            let block = self.block as usize;
            at(l / block, j, self.dims(Self::K / block)[1])
        };
        let zero = if self.with_zeros { self.number(11, few) } else { 0 };
        (self.number(5, at(l, j, cols)) - zero) as f32 * Self::scale(few)
    }
}

trait MapToI64 {
    fn map_to_i64(&self) -> Vec<i64>;
}

impl MapToI64 for [usize] {
    fn map_to_i64(&self) -> Vec<i64> {
        self.iter().map(|&size| size as i64).collect()
    }
}

#[test]
fn weights_stay_codes() {
    let x: Vec<f32> = (0..3 * Weight::K).map(|i| (i * 29 % 17) as f32 / 8.0 - 1.0).collect();
    use data_type::{INT4, INT8, INT16, UINT4, UINT8, UINT16};
    for code in [INT4, UINT4, INT8, UINT8, INT16, UINT16] {
        for (turned, with_zeros) in [(false, false), (false, true), (true, false), (true, true)] {
            for block in [0, 16, 32] {
                let weight = Weight { code, turned, block, with_zeros };
                let model = weight.model();
                let session = Session::new(model.load().unwrap()).unwrap();
                assert_eq!(session.report().operators, [("LinearBlocks".to_string(), 1)], "{code} {turned} {block}");
                let rows = x.chunks(Weight::K);
                let dot = |row: &[f32], j| (0..Weight::K).map(|l| row[l] * weight.value(l, j)).sum::<f32>();
                let expected: Vec<f32> = rows.flat_map(|row| (0..Weight::N).map(move |j| dot(row, j))).collect();
                // All of this is exact in floats, so that no order of sums matters.
                assert_eq!(run(&model, &[3, Weight::K], &x), expected, "{code} {turned} {block} {with_zeros}");
            }
        }
    }
}
