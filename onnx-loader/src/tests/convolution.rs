//! Convolutions of one element: as the linear layers that they become, and against sums over channels.

use super::*;

fn conv(attributes: Vec<AttributeProto>, weight: &[i64], spatial: &[&str]) -> ModelProto {
    let dims: Vec<&str> = ["b", "8"].iter().chain(spatial).copied().collect();
    let elements: i64 = weight.iter().product();
    let model = file(13).input("x", &dims).initializer(zeros("w", data_type::FLOAT, weight, elements as usize * 4));
    model
        .initializer(zeros("bias", data_type::FLOAT, &[6], 24))
        .output("out")
        .node("Conv", "x w bias", "out", attributes)
}

#[test]
fn become_linear_layers() {
    becomes(
        &conv(vec![ints("kernel_shape", &[1]), ints("pads", &[0, 0]), ints("strides", &[1])], &[6, 8, 1], &["s"]),
        "%0 = Transpose { perm: [0, 2, 1] } x
         %1 = Transpose { perm: [1, 0] } float32[6, 8]
         %2 = MatMul %0 %1
         %3 = Binary(Add) %2 float32[6]
         %4 = Transpose { perm: [0, 2, 1] } %3
         -> %4",
    );
    becomes(
        &conv(vec![int("group", 2), string("auto_pad", "NOTSET")], &[6, 4, 1, 1], &["h", "w"]),
        "%0 = Transpose { perm: [0, 2, 3, 1] } x
         %1 %2 = Split { axis: -1 } %0 [4, 4]
         %3 = Transpose { perm: [1, 0] } float32[3, 4]
         %4 = MatMul %1 %3
         %5 = Transpose { perm: [1, 0] } float32[3, 4]
         %6 = MatMul %2 %5
         %7 = Concat { axis: -1 } %4 %6
         %8 = Binary(Add) %7 float32[6]
         %9 = Transpose { perm: [0, 3, 1, 2] } %8
         -> %9",
    );
}

#[test]
fn real_convolutions_are_refused() {
    let error = |attributes, weight: &[i64]| conv(attributes, weight, &["s"]).error();
    assert!(error(vec![], &[6, 8, 3]).contains("Conv (with a kernel of more than one element"));
    assert!(error(vec![int("group", 4)], &[6, 2, 1]).contains("do not fill the groups"));
    assert!(error(vec![], &[6]).contains("do not fill the groups"));
    assert!(error(vec![ints("pads", &[1, 1])], &[6, 8, 1]).contains("with padding or strides"));
    assert!(error(vec![ints("strides", &[2])], &[6, 8, 1]).contains("with padding or strides"));
    for groups in [-1, 0, 65] {
        assert!(error(vec![int("group", groups)], &[6, 8, 1]).contains("other than 1 to 64"));
    }
    assert!(single(13, "Conv", "x y", vec![]).error().contains("Conv (with a weight that is no constant)"));
}

/// `y[b][o][s] = sum over c of (x[b][c][s] - x_zero) * (w[o][c] - w_zero[o])`, c in the group of o.
fn naive([batch, channels, seq]: [usize; 3], outputs: usize, groups: usize, x: &[f32], w: &[f32]) -> Vec<f32> {
    let inputs = channels / groups;
    let mut y = Vec::new();
    for b in 0..batch {
        for o in 0..outputs {
            let first = o / (outputs / groups) * inputs;
            let at = |s: usize| {
                (0..inputs).map(|c| x[(b * channels + first + c) * seq + s] * w[o * inputs + c]).sum::<f32>()
            };
            y.extend((0..seq).map(at));
        }
    }
    y
}

#[test]
fn sums_over_channels() {
    let (shape, outputs) = ([2, 12, 5], 6);
    let x: Vec<f32> = (0..120).map(|i| (i * 37 % 61) as f32 - 30.0).collect();
    for groups in [1, 2, 3, 6] {
        let inputs = shape[1] / groups;
        let w: Vec<f32> = (0..outputs * inputs).map(|i| (i * 23 % 17) as f32 - 8.0).collect();
        let dims = [outputs as i64, inputs as i64, 1];
        let model = file(13).input("x", &["b", "12", "s"]).output("out").initializer(floats_tensor("w", &dims, &w));
        let model = model.node("Conv", "x w", "out", vec![int("group", groups as i64)]);
        // Integers: every order of adding gives the same.
        assert_eq!(run(&model, &shape, &x), naive(shape, outputs, groups, &x, &w), "{groups} groups");
    }
}

#[test]
fn sums_of_integers_over_channels() {
    let (shape, outputs) = ([2, 12, 5], 6);
    let x: Vec<f32> = (0..120).map(|i| (i * 37 % 256) as f32).collect();
    let zero: Vec<i8> = (0..6).map(|i| i * 3 - 7).collect();
    for groups in [1, 3] {
        let inputs = shape[1] / groups;
        let w: Vec<i8> = (0..outputs * inputs).map(|i| (i * 23 % 255) as u8 as i8).collect();
        let bytes = |name: &str, dims: &[i64], values: &[i8]| {
            let raw_data = Some(values.iter().map(|&v| v as u8).collect());
            TensorProto { raw_data, ..zeros(name, data_type::INT8, dims, 0) }
        };
        let x_zero = TensorProto { raw_data: Some(vec![128]), ..zeros("xz", data_type::UINT8, &[], 1) };
        for per_channel in [false, true] {
            let zero = if per_channel { &zero[..] } else { &zero[..1] };
            let zero_of = |o: usize| zero[o % zero.len()];
            let model = file(13).input("x", &["b", "12", "s"]).output("out").initializer(x_zero.clone());
            let model = model.initializer(bytes("w", &[outputs as i64, inputs as i64, 1], &w));
            let model = model.initializer(bytes("wz", &[zero.len() as i64], zero));
            let model = model.initializer(floats_tensor("one", &[], &[1.0])).initializer(zeros("z", 2, &[], 1));
            let model = model
                .node("QuantizeLinear", "x one z", "q", vec![])
                .node("ConvInteger", "q w xz wz", "y", vec![int("group", groups as i64)])
                .node("Cast", "y", "out", vec![int("to", 1)]);
            let centred: Vec<f32> = x.iter().map(|x| x - 128.0).collect();
            let weight: Vec<f32> =
                w.iter().enumerate().map(|(i, &w)| f32::from(w) - f32::from(zero_of(i / inputs))).collect();
            let expected = naive(shape, outputs, groups, &centred, &weight);
            assert_eq!(run(&model, &shape, &x), expected, "{groups} groups");
        }
    }
    let model = file(13).typed_input("q", data_type::UINT8, &["b", "2", "s"]).output("out");
    let model = model.initializer(zeros("w", data_type::INT8, &[4, 2, 1], 8)).initializer(zeros("wz", 3, &[3], 3));
    let model = model.node("ConvInteger", "q w _ wz", "out", vec![]);
    assert!(model.error().contains("ConvInteger") && model.error().contains("not one for each channel"));
}
