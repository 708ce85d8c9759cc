//! Models of all sorts of inputs: tiny graphs whose outputs tell what they were fed with.

#![cfg(not(target_arch = "wasm32"))]

use fourlane::{Error, Files, TextClassifier};
use fourlane_graph::Model;
use fourlane_graph::ir::{DType, Node, Op, Port, PortDim, Reduce, Tensor, ValueId};

const FILES: Files<'static> = Files {
    tokenizer: None,
    vocab: Some(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\nc\n<pad>"),
    tokenizer_config: None,
    config: None,
};
const ALL: [&str; 4] = ["input_ids", "attention_mask", "token_type_ids", "position_ids"];

fn fixed(size: usize) -> PortDim {
    PortDim::Fixed(size)
}

fn free(name: &str) -> PortDim {
    PortDim::Symbol(name.into())
}

/// A model that answers with the sum of each input along the tokens, one label an input.
fn sums(names: &[&str], dtype: DType, rows: PortDim, columns: PortDim) -> Model {
    let mut model = Model::default();
    let mut value = || {
        model.value_count += 1;
        ValueId::new(model.value_count - 1)
    };
    let axis = value();
    let logits = value();
    let mut sums = Vec::new();
    for name in names {
        let (input, float, sum) = (value(), value(), value());
        model.inputs.push(Port {
            name: (*name).into(),
            value: input,
            dtype,
            dims: Some(vec![rows.clone(), columns.clone()]),
        });
        let node = |op, inputs: Vec<_>, output| Node { op, inputs, outputs: vec![output], name: (*name).into() };
        model.nodes.push(node(Op::Cast(DType::F32), vec![Some(input)], float));
        let reduce = Op::Reduce { op: Reduce::Sum, keep_dims: true, noop_with_empty_axes: false };
        model.nodes.push(node(reduce, vec![Some(float), Some(axis)], sum));
        sums.push(Some(sum));
    }
    let one = Tensor { dtype: DType::I64, shape: vec![1], data: 1i64.to_le_bytes().to_vec().into() };
    model.constants.insert(axis, one);
    model.nodes.push(Node { op: Op::Concat { axis: 1 }, inputs: sums, outputs: vec![logits], name: "logits".into() });
    model.outputs.push(Port { name: "logits".into(), value: logits, dtype: DType::F32, dims: None });
    model
}

fn classifier(model: Model) -> TextClassifier {
    TextClassifier::from_model(model, &FILES).unwrap()
}

#[test]
fn each_input_gets_what_its_name_says() {
    for dtype in [DType::I64, DType::I32] {
        let mut classifier = classifier(sums(&ALL, dtype, free("batch"), free("sequence")));
        // [CLS] a b [SEP] beside a longer text; positions run through the padding.
        let logits = classifier.logits(&["a b", "a b c c"]).unwrap();
        assert_eq!(logits, [[14.0, 4.0, 0.0, 15.0], [26.0, 6.0, 0.0, 15.0]]);
    }
}

#[test]
fn inputs_in_any_order_and_number() {
    let mut classifier = classifier(sums(&["attention_mask", "input_ids"], DType::I64, free("b"), free("s")));
    assert_eq!(classifier.logits(&["c", ""]).unwrap(), [[3.0, 11.0], [2.0, 5.0]]);
    let labels: Vec<&str> = classifier.labels().iter().map(|label| &**label).collect();
    assert_eq!(labels, ["LABEL_0", "LABEL_1"]);
}

#[test]
fn the_padding_token_is_the_configured_one() {
    let pad = br#"{"pad_token": "<pad>"}"#;
    let files = Files { tokenizer_config: Some(pad), ..FILES };
    let mut classifier =
        TextClassifier::from_model(sums(&["input_ids"], DType::I64, free("b"), free("s")), &files).unwrap();
    assert_eq!(classifier.logits(&["", "a b"]).unwrap(), [[5.0 + 14.0], [14.0]]);
}

#[test]
fn fixed_batches_are_filled() {
    for batch in [1, 3] {
        let mut classifier = classifier(sums(&["input_ids"], DType::I64, fixed(batch), free("s")));
        let logits = classifier.logits(&["a", "b", "c", "a b c"]).unwrap();
        assert_eq!(logits, [[9.0], [10.0], [11.0], [20.0]]);
    }
}

#[test]
fn fixed_lengths_are_filled_and_not_exceeded() {
    let mut classifier = classifier(sums(&["input_ids", "attention_mask"], DType::I64, free("b"), fixed(5)));
    assert_eq!(classifier.max_length(), 5);
    let logits = classifier.logits(&["a", "a a a", "a a a a a a a a a"]).unwrap();
    assert_eq!(logits, [[9.0, 3.0], [17.0, 5.0], [17.0, 5.0]]);
}

#[test]
fn order_of_thousands_of_texts() {
    let mut classifier = classifier(sums(&["input_ids"], DType::I64, free("b"), free("s")));
    let texts: Vec<String> = (0..3000).map(|i| "a ".repeat(i * 7919 % 61)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let logits = classifier.logits(&texts).unwrap();
    for (i, logits) in logits.iter().enumerate() {
        assert_eq!(*logits, [(i * 7919 % 61 * 4 + 5) as f32]);
    }
}

fn error(model: Model) -> String {
    TextClassifier::from_model(model, &FILES).err().expect("a refusal").to_string()
}

#[test]
fn models_of_something_else_are_refused() {
    let (rows, columns) = (|| free("b"), || free("s"));
    assert_eq!(
        error(sums(&["input_ids", "pixel_values"], DType::I64, rows(), columns())),
        "the model has an input 'pixel_values'; a text classifier has input_ids, attention_mask, token_type_ids and \
         position_ids, or some of them"
    );
    let no_ids = error(sums(&["attention_mask"], DType::I64, rows(), columns()));
    assert_eq!(no_ids, Error::NoInputIds.to_string());
    let float = error(sums(&["input_ids"], DType::F32, rows(), columns()));
    assert_eq!(float, "the model wants input 'input_ids' as float32; int64 and int32 work");
    let empty = error(sums(&["input_ids"], DType::I64, fixed(0), columns()));
    assert_eq!(empty, "the model's input 'input_ids' is not of two axes, texts and tokens");
}

#[test]
fn outputs_of_something_else_are_refused() {
    // The input itself is no float output.
    let mut model = sums(&["input_ids"], DType::I64, free("b"), free("s"));
    model.outputs[0].value = model.inputs[0].value;
    assert_eq!(error(model), Error::NoLogits.to_string());
    // Several outputs, none of them called logits or known to be of two axes.
    let mut model = sums(&["input_ids"], DType::I64, free("b"), free("s"));
    model.outputs[0].name = "x".into();
    model.outputs.push(Port { name: "y".into(), ..model.outputs[0].clone() });
    assert_eq!(error(model.clone()), Error::NoLogits.to_string());
    model.outputs[1].dims = Some(vec![free("b"), fixed(1)]);
    assert_eq!(classifier(model).logits(&["a"]).unwrap(), [[9.0]]);
}
