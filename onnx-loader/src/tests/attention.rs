//! The attention operators and their masks.

use super::*;

/// ONNX `Attention` of inputs with this rank.
fn standard(dims: &[&str], mask: Option<(i32, &[&str])>, attributes: Vec<AttributeProto>) -> ModelProto {
    let mut model = file(23).input("q", dims).input("k", dims).input("v", dims).output("out");
    if let Some((data_type, dims)) = mask {
        model = model.typed_input("m", data_type, dims);
    }
    model.node("Attention", if mask.is_some() { "q k v m" } else { "q k v" }, "out", attributes)
}

const RANK_4: &[&str] = &["b", "2", "s", "4"];
const RANK_3: &[&str] = &["b", "s", "8"];

fn heads(q: i64, kv: i64) -> Vec<AttributeProto> {
    vec![int("q_num_heads", q), int("kv_num_heads", kv)]
}

#[test]
fn standard_attention_with_and_without_a_heads_axis() {
    becomes(&standard(RANK_4, None, vec![]), "%0 = AttentionHeads { scale: None } q k v\n -> %0");
    becomes(
        &standard(RANK_4, None, vec![float("scale", 0.5)]),
        "%0 = AttentionHeads { scale: Some(0.5) } q k v\n -> %0",
    );
    let scaled = [heads(2, 2), vec![float("scale", 0.5)]].concat();
    becomes(&standard(RANK_3, None, scaled), "%0 = Attention { heads: 2, scale: 0.5 } q k v\n -> %0");
    becomes(
        &standard(RANK_3, None, heads(2, 2)),
        "%0 = Reshape { allow_zero: false } q [0, 0, 2, -1]
         %1 = Transpose { perm: [0, 2, 1, 3] } %0
         %2 = Reshape { allow_zero: false } k [0, 0, 2, -1]
         %3 = Transpose { perm: [0, 2, 1, 3] } %2
         %4 = Reshape { allow_zero: false } v [0, 0, 2, -1]
         %5 = Transpose { perm: [0, 2, 1, 3] } %4
         %6 = AttentionHeads { scale: None } %1 %3 %5
         %7 = Transpose { perm: [0, 2, 1, 3] } %6
         %8 = Reshape { allow_zero: false } %7 [0, 0, -1]
         -> %8",
    );
}

#[test]
fn standard_masks() {
    let flags = (data_type::BOOL, &["b", "1", "s", "s"][..]);
    becomes(
        &standard(RANK_4, Some(flags), vec![]),
        "%0 = Where m 0.0 -inf\n %1 = AttentionHeads { scale: None } q k v %0\n -> %1",
    );
    let numbers = (data_type::FLOAT, &["s", "s"][..]);
    becomes(&standard(RANK_4, Some(numbers), vec![]), "%0 = AttentionHeads { scale: None } q k v m\n -> %0");

    let causal = "%0 = Shape { start: 2, end: 3 } q
         %1 = Squeeze %0 [0]
         %2 = Range 0 %1 1
         %3 = Unsqueeze %2 [1]
         %4 = Shape { start: 2, end: 3 } k
         %5 = Squeeze %4 [0]
         %6 = Range 0 %5 1
         %7 = Binary(GreaterOrEqual) %3 %6\n";
    let attention = |mask| format!("%{0} = AttentionHeads {{ scale: None }} q k v %{mask}\n -> %{0}", mask + 1);
    let is_causal = vec![int("is_causal", 1)];
    becomes(&standard(RANK_4, None, is_causal.clone()), &format!("{causal} %8 = Where %7 0.0 -inf\n {}", attention(8)));
    becomes(
        &standard(RANK_4, Some(numbers), is_causal.clone()),
        &format!("{causal} %8 = Where %7 m -inf\n {}", attention(8)),
    );
    becomes(
        &standard(RANK_4, Some(flags), is_causal),
        &format!("{causal} %8 = Binary(And) m %7\n %9 = Where %8 0.0 -inf\n {}", attention(9)),
    );
}

#[test]
fn standard_forms_that_are_refused() {
    assert!(standard(RANK_4, None, vec![float("softcap", 20.0)]).error().contains("Attention (with softcap)"));
    assert!(standard(RANK_3, None, heads(4, 2)).error().contains("other numbers of heads"));
    assert!(standard(RANK_3, None, heads(0, 0)).error().contains("without a number of heads"));
    let mut past = standard(RANK_4, None, vec![]).input("p", RANK_4);
    past.graph_mut().node[0].input.extend(["".into(), "p".into()]);
    assert!(past.error().contains("Attention (with input 4)"));
    let mut present = standard(RANK_4, None, vec![]).output("present");
    present.graph_mut().node[0].output.push("present".into());
    assert!(present.error().contains("Attention (with output 1)"));
    present.graph_mut().output.pop();
    assert!(present.load().is_ok());
}

/// onnxruntime's `Attention` on hidden size 8 and 2 heads, with a mask of this rank.
fn packed(mask_dims: &[&str], attributes: Vec<AttributeProto>) -> ModelProto {
    file(17)
        .input("x", RANK_3)
        .typed_input("m", data_type::INT32, mask_dims)
        .initializer(zeros("w", data_type::FLOAT, &[8, 24], 768))
        .initializer(zeros("bias", data_type::FLOAT, &[24], 96))
        .output("out")
        .node(
            "com.microsoft:Attention",
            if mask_dims.is_empty() { "x w bias" } else { "x w bias m" },
            "out",
            [vec![int("num_heads", 2)], attributes].concat(),
        )
}

const PROJECTION: &str = "%0 = MatMul x float32[8, 24]
    %1 = Binary(Add) %0 float32[24]
    %2 %3 %4 = Split { axis: -1 } %1\n";

#[test]
fn packed_projections_are_split() {
    becomes(&packed(&[], vec![]), &format!("{PROJECTION} %5 = Attention {{ heads: 2, scale: 0.5 }} %2 %3 %4\n -> %5"));
    becomes(
        &packed(&[], vec![float("scale", 0.125), int("do_rotary", 0)]),
        &format!("{PROJECTION} %5 = Attention {{ heads: 2, scale: 0.125 }} %2 %3 %4\n -> %5"),
    );
    becomes(
        &packed(&[], vec![ints("qkv_hidden_sizes", &[2, 2, 20])]),
        "%0 = MatMul x float32[8, 24]
         %1 = Binary(Add) %0 float32[24]
         %2 %3 %4 = Split { axis: -1 } %1 [2, 2, 20]
         %5 = Attention { heads: 2, scale: 1.0 } %2 %3 %4
         -> %5",
    );
    assert!(packed(&[], vec![int("do_rotary", 1)]).error().contains("do_rotary=1"));
}

#[test]
fn packed_masks() {
    let attention = |mask| format!("%{0} = Attention {{ heads: 2, scale: 0.5 }} %2 %3 %4 %{mask}\n -> %{0}", mask + 1);
    // Flags per token.
    let filter = vec![float("mask_filter_value", -3.0)];
    becomes(
        &packed(&["b", "s"], filter),
        &format!(
            "{PROJECTION} %5 = Cast(Bool) m\n %6 = Unsqueeze %5 [1, 2]\n %7 = Where %6 0.0 -3.0\n {}",
            attention(7)
        ),
    );
    // Flags per pair.
    becomes(
        &packed(&["b", "s", "s"], vec![]),
        &format!(
            "{PROJECTION} %5 = Cast(Bool) m\n %6 = Unsqueeze %5 [1]\n %7 = Where %6 0.0 -10000.0\n {}",
            attention(7)
        ),
    );
    // Tokens per row.
    becomes(
        &packed(&["b"], vec![]),
        &format!(
            "{PROJECTION} %5 = Cast(I64) m
             %6 = Unsqueeze %5 [1]
             %7 = Shape {{ start: 1, end: 2 }} %3
             %8 = Squeeze %7 [0]
             %9 = Range 0 %8 1
             %10 = Binary(Less) %9 %6
             %11 = Unsqueeze %10 [1, 2]
             %12 = Where %11 0.0 -10000.0\n {}",
            attention(12)
        ),
    );
    assert!(packed(&["b", "1", "s", "s"], vec![]).error().contains("with a mask of rank 4"));
    // No query sees a later key.
    let causal = packed(&[], vec![int("unidirectional", 1)]).text();
    assert!(causal.contains("Binary(GreaterOrEqual)") && causal.contains(&format!("0.0 {:?}", f32::MIN)));
}

#[test]
fn quantised_attention_is_the_same_behind_an_integer_product() {
    let model = file(17)
        .typed_input("x", data_type::UINT8, RANK_3)
        .initializer(zeros("w", data_type::INT8, &[8, 24], 192))
        .initializer(zeros("bias", data_type::FLOAT, &[24], 96))
        .initializer(floats_tensor("s", &[], &[0.5]))
        .initializer(zeros("z", data_type::UINT8, &[], 1))
        .output("out")
        .node("com.microsoft:QAttention", "x w bias s s _ z", "out", vec![int("num_heads", 2)]);
    becomes(
        &model,
        "%0 = MatMulInteger x int8[8, 24] 0
         %1 = Cast(F32) %0
         %2 = Binary(Mul) 0.5 0.5
         %3 = Binary(Mul) %1 %2
         %4 = Binary(Add) %3 float32[24]
         %5 %6 %7 = Split { axis: -1 } %4
         %8 = Attention { heads: 2, scale: 0.5 } %5 %6 %7
         -> %8",
    );
}

fn multi_head(inputs: &str, attributes: Vec<AttributeProto>) -> ModelProto {
    let model = file(17).input("q", RANK_3).input("k", RANK_3).input("v", RANK_3).input("rel", &["1", "2", "s", "s"]);
    let model = model.initializer(zeros("bias", data_type::FLOAT, &[24], 96)).output("out");
    let attributes = [vec![int("num_heads", 2)], attributes].concat();
    model.node("com.microsoft:MultiHeadAttention", inputs, "out", attributes)
}

#[test]
fn multi_head_attention() {
    becomes(
        &multi_head("q k v bias _ rel", vec![]),
        "%0 %1 %2 = Split { axis: 0 } float32[24]
         %3 = Binary(Add) q %0
         %4 = Binary(Add) k %1
         %5 = Binary(Add) v %2
         %6 = Attention { heads: 2, scale: 0.5 } %3 %4 %5 rel
         -> %6",
    );
    // Without a bias the file does not tell the size of a head.
    assert!(multi_head("q k v", vec![]).text().contains("AttentionHeads { scale: None }"));
    becomes(&multi_head("q k v", vec![float("scale", 0.25)]), "%0 = Attention { heads: 2, scale: 0.25 } q k v\n -> %0");
    assert!(multi_head("q", vec![]).error().contains("MultiHeadAttention (without input 1)"));
}
