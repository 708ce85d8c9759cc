//! Keys and values that serve a single query for each text, as they do in the last layer of a classifier, are not computed:
//! what their weights do to every token can be done once, to the query and to what attention gives. Then all heads attend
//! to the tokens themselves ([`fourlane_kernels::gemm_heads`]).
//!
//! Scores are `q (X Wk + b)^T = (q Wk^T) X^T + q b`, of which the last term is the same for all keys, so that softmax does
//! not see it; the weights `p` that it gives sum to one, so `p (X Wv + b) = (p X) Wv + b`. That each head's query is as wide
//! as X matters little, since there is one: of the products of a DistilBERT's last layer, `2 T` rows with a weight become
//! two. The model on padded tokens reads the same panels of the same weights.
//!
//! Weights in other types stay as they are. Where they are halves, keys and values are rounded to halves. Packed for integer
//! products or in blocks, they would have to be expanded to floats in every run: not tried.

use super::rewrite::{Draft, Matcher, rewrite};
use crate::error::Failure;
use crate::ir::{Activation, DType, Node, Op, ValueId};

/// A head's columns are a multiple of that.
const VECTOR: usize = 4;

/// Rewrites stacked attention that has one query for each text.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, |m, node, fresh| {
        let Op::AttentionStacked { heads, scale } = node.op else { return None };
        let (q, lengths) = (node.input(0)?, node.input(3)?);
        let (k, v) = (projection(m, node.input(1)?)?, projection(m, node.input(2)?)?);
        let (k_weight, v_weight) = (k.input(1)?, v.input(1)?);
        let shape = &m.constant(k_weight)?.shape;
        let Op::Linear { trans_b, .. } = k.op else { return None };
        let (hidden, width) = (shape[usize::from(trans_b)], shape[usize::from(!trans_b)]);
        let ([_, queries, n], [texts]) = (m.shape(q)?, m.shape(lengths)?) else { return None };
        let fits = queries == texts
            && n.is(width as i64)
            && node.input(5).is_none()
            && k.input(0) == v.input(0)
            && k.op == v.op
            && m.constant(v_weight)?.shape == *shape
            && hidden.is_multiple_of(VECTOR)
            && width.is_multiple_of(heads.saturating_mul(VECTOR));
        // The bias of keys adds the same to all scores, which softmax does not see.
        let inputs =
            vec![Some(q), k.input(0), Some(k_weight), Some(v_weight), Some(lengths), node.input(4), v.input(2)];
        let op = Op::AttentionAbsorbed { heads, scale, trans_b };
        fresh.push(Node { op, inputs, outputs: node.outputs.clone(), name: node.name.clone() });
        fits.then_some(())
    })
}

/// The linear layer that makes `value` for one reader, if it does nothing else.
fn projection<'m>(m: &Matcher<'m>, value: ValueId) -> Option<&'m Node> {
    let node = m.producer(value).filter(|_| m.is_used_once(value))?;
    let plain =
        matches!(node.op, Op::Linear { activation: Activation::None, alpha: 1.0, .. }) && node.input(3).is_none();
    (plain && m.constant(node.input(1)?)?.dtype == DType::F32).then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Model, Port, Tensor};
    use crate::testing::{Builder, noise};
    use crate::{Data, Options, Session, TensorView};

    /// The first row of each text attends, with two heads of four, to all rows of its text: `Gather`, the layers of
    /// query, keys and values, and attention.
    fn model(trans_b: bool) -> Model {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["1", "tokens", "12"]);
        let [firsts, lengths] = ["firsts", "lengths"].map(|name| b.input(name, DType::I64, &["texts"]));
        let grid = b.input("grid", DType::I64, &["texts", "longest"]);
        let first = b.node(Op::Gather { axis: 1 }, &[x, firsts]);
        let [q, k, v] = [first, x, x].map(|x| {
            let (weight, bias) = (b.weight(if trans_b { &[8, 12] } else { &[12, 8] }), b.weight(&[8]));
            b.node(Op::Linear { activation: Activation::None, alpha: 1.0, trans_b }, &[x, weight, bias])
        });
        let y = b.node(Op::AttentionStacked { heads: 2, scale: 0.5 }, &[q, k, v, lengths, grid]);
        b.output(y)
    }

    type Change = fn(&mut Model);

    fn absorbed(model: Model) -> (usize, Model) {
        let mut draft = Draft::new(model, false);
        let count = run(&mut draft).unwrap();
        super::super::cleanup::dead_code(&mut draft);
        (count, draft.into_model())
    }

    fn results(model: Model) -> Vec<f32> {
        let mut session = Session::with_options(model, Options { optimize: false, ..Options::default() }).unwrap();
        let x: Vec<f32> = (0..120).map(noise).collect();
        let integers = |shape, data| TensorView { shape, data: Data::I64(data) };
        let inputs = [
            ("x", TensorView { shape: &[1, 10, 12], data: Data::F32(&x) }),
            ("firsts", integers(&[3], &[0, 3, 4])),
            ("lengths", integers(&[3], &[3, 1, 6])),
            ("grid", integers(&[3, 7], &[0; 21])),
        ];
        let outputs = session.run(&inputs).unwrap();
        outputs.get("output").and_then(|y| y.data.as_f32()).unwrap().to_vec()
    }

    #[test]
    fn keys_and_values_are_not_computed() {
        for trans_b in [false, true] {
            let before = model(trans_b);
            let (count, after) = absorbed(before.clone());
            let names: Vec<String> = after.nodes.iter().map(|node| node.op.name()).collect();
            assert_eq!((count, names.join(" ").as_str()), (1, "Gather Linear AttentionAbsorbed"));
            for (a, b) in results(before).into_iter().zip(results(after)) {
                assert!((a - b).abs() < 1e-5, "{a} before, {b} after");
            }
        }
    }

    #[test]
    fn what_is_of_another_form_is_left_alone() {
        let changes: [(&str, Change); 8] = [
            ("queries of all tokens", |model| model.nodes[1].inputs[0] = model.nodes[2].inputs[0]),
            ("values of something else", |model| model.nodes[3].inputs[0] = model.nodes[1].inputs[0]),
            ("heads that are not of whole vectors", |model| {
                model.nodes[4].op = Op::AttentionStacked { heads: 4, scale: 0.5 };
            }),
            ("a mask", |model| {
                let mask = ValueId::new(model.value_count);
                model.value_count += 1;
                model.constants.insert(mask, Tensor::scalar_f32(1.0));
                model.nodes[4].inputs.push(Some(mask));
            }),
            ("keys that have another reader", |model| {
                let value = model.nodes[2].outputs[0];
                model.outputs.push(Port { name: "keys".into(), value, dtype: DType::F32, dims: None });
            }),
            ("an activation", |model| {
                model.nodes[3].op = Op::Linear { activation: Activation::Relu, alpha: 1.0, trans_b: false };
            }),
            ("a residual", |model| {
                let query = model.nodes[1].outputs[0];
                model.nodes[3].inputs.push(Some(query));
            }),
            ("halves", |model| {
                let weight = model.nodes[2].inputs[1].unwrap();
                model
                    .constants
                    .insert(weight, Tensor { dtype: DType::F16, shape: vec![12, 8], data: vec![0; 192].into() });
            }),
        ];
        for (what, change) in changes {
            let mut model = model(false);
            change(&mut model);
            assert_eq!(absorbed(model).0, 0, "{what}");
        }
    }
}
