//! The generator of real-size models, held to the files that the rule's author wrote, and the models to recorded results.

use fourlane_benches::models::{self, Kind, Weight};
use fourlane_graph::{Data, Options, Session, TensorView};
use fourlane_onnx::NoExternalData;

/// FNV-1a of 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The hash of 1,000 elements that are not the first ones, as numpy computed them.
#[test]
fn each_kind_of_weight_follows_the_rule() {
    let expected = [
        (Kind::F32, 0x0994_a847_3f52_e0ea),
        (Kind::F16, 0x0dbd_e11b_6e66_bd2d),
        (Kind::I8, 0x6065_a35b_55a2_fbf6),
        (Kind::U8, 0x18ef_a3f4_8658_7af6),
        (Kind::Raw, 0x4724_36f2_1b09_3f3c),
    ];
    for (kind, wanted) in expected {
        let weight = Weight { name: String::new(), kind, count: 4000, seed: 7, scale: 1.321_415_4e-5 };
        let mut bytes = Vec::new();
        weight.fill(3000..4000, &mut bytes);
        assert_eq!(hash(&bytes), wanted, "{kind:?}");
        // In parts it is the same.
        let mut parts = Vec::new();
        weight.fill(3000..3001, &mut parts);
        weight.fill(3001..4000, &mut parts);
        assert_eq!(bytes, parts, "{kind:?}");
    }
}

#[test]
fn what_is_no_skeleton_is_refused() {
    let weight = Weight { name: "w".into(), kind: Kind::Raw, count: 1, seed: 1, scale: 0.0 };
    let materialize = |skeleton: &[u8]| models::materialize(skeleton, std::slice::from_ref(&weight), &mut Vec::new());
    for broken in
        [&b"\x3a"[..], b"\x3a\x05\x2a\x03", b"\x3a\x02\x2a\x7f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        assert_eq!(materialize(broken).unwrap_err(), "the skeleton is no ONNX file");
    }
    assert_eq!(materialize(b"\x3a\x00").unwrap_err(), "the skeleton has 0 of the 1 weights in the list");
    assert!(models::weights(b"{}").unwrap_err().starts_with("the list of weights: "));
    assert!(models::weights(br#"[{"name": "w"}]"#).unwrap_err().contains("unknown entry"));
}

/// `cargo xtask bench --check`: a minute, and half a gigabyte on the disk.
#[test]
#[ignore = "heavy, and needs the graphs that are beside the repository"]
fn models_are_complete_and_give_what_onnxruntime_gives() {
    // Of the files that `materialize.py` writes.
    let files = [
        ("model", 0x6349_e040_9814_9053, 1e-3),
        ("model_fp16", 0x73f1_99ba_66ed_dd6f, 1e-3),
        ("model_quantized", 0x8cb2_6207_f340_fa02, 0.2),
        ("model_q4", 0x8e53_ceb2_b7a4_4b99, 0.2),
    ];
    let recorded = std::fs::read(models::skeletons().unwrap().join("expected.json")).unwrap();
    let recorded: serde_json::Value = serde_json::from_slice(&recorded).unwrap();
    for (name, wanted, tolerance) in files {
        let bytes = std::fs::read(models::file(name).unwrap()).unwrap();
        assert_eq!(hash(&bytes), wanted, "{name}");
        let model = fourlane_onnx::load(bytes.into(), &NoExternalData).unwrap();
        // As onnxruntime does it: one range for a quantised tensor.
        let options = Options { literal: true, ..Options::default() };
        let mut session = Session::with_options(model, options).unwrap();
        let mut worst: f64 = 0.0;
        for case in recorded[name].as_array().unwrap() {
            let size = |key: &str| case[key].as_u64().unwrap() as usize;
            let [batch, seq, padded] = ["batch", "seq", "padded_tail_of_row_1"].map(size);
            let (mut ids, mut mask) = (models::ids(batch * seq), vec![1; batch * seq]);
            if padded > 0 {
                ids[2 * seq - padded..2 * seq].fill(0);
                mask[2 * seq - padded..2 * seq].fill(0);
            }
            let shape = [batch, seq];
            let view = |data| TensorView { shape: &shape, data: Data::I64(data) };
            let outputs = session.run(&[("input_ids", view(&ids)), ("attention_mask", view(&mask))]).unwrap();
            let Some(TensorView { data: Data::F32(logits), .. }) = outputs.get("logits") else { panic!("logits") };
            let expected = case["logits"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
            let expected: Vec<f64> = expected.map(|logit| logit.as_f64().unwrap()).collect();
            assert_eq!(logits.len(), expected.len());
            let distance = logits.iter().zip(expected).map(|(&a, b)| (f64::from(a) - b).abs()).fold(0.0, f64::max);
            assert!(distance <= tolerance, "{name}, {batch} x {seq}: {distance} from the recorded logits");
            worst = worst.max(distance);
        }
        println!("{name}: {worst:.5} from the recorded logits at worst, {tolerance} is allowed");
    }
}
