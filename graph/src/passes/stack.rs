//! No work on padding: a second form of the model in which the tokens of all texts stand one behind the other.
//!
//! A batch `[batch, seq]` whose rows end in padding has fewer tokens than places. Nearly everything that a transformer
//! does is done to each token by itself, so it can be done to a `[1, tokens, ...]` tensor of the real ones alone;
//! attention is the exception, and looks at one text at a time. So here every such operator is written once more on stacked
//! tokens, attention becomes [`Op::AttentionStacked`], and where the model takes the first token of each text it takes
//! the stacked one. What nobody reads any more is dead code.
//!
//! Whether that means the same is not a matter of patterns, which exporters vary without end: the mask that attention
//! adds must depend on nothing but one input and shapes, and is *computed*, for a few made-up inputs, to see that it
//! hides exactly the keys at which the input is zero (`mask.rs`). Where it also has a bias for each distance, that stays.
//! The session looks at each call's mask: where zeros are not the ends of rows, it runs the model as it was.

use super::mask::Padding;
use super::rewrite::{Draft, Fresh, Matcher};
use super::{absorbed, cleanup, first_rows};
use crate::dim::{Dim, Symbol};
use crate::error::Failure;
use crate::infer;
use crate::ir::{DType, Model, Node, Op, Port, PortDim, ValueId};

/// A model on stacked tokens. Its inputs are those of the original, and [`FEEDS`] behind them.
pub struct Stacked {
    /// The model.
    pub model: Model,
    /// Which input says what padding is; `None` if nothing does, so that there is none.
    pub mask: Option<usize>,
    /// An input of shape `[batch, seq]`.
    pub grid: usize,
}

/// What the session computes from the mask: i64 inputs of a stacked model, in this order.
#[derive(Clone, Copy)]
pub enum Feed {
    /// `[tokens]`: the place of each token in the flat `[batch * seq]`.
    Places,
    /// `[tokens]`: the place of each token in its text.
    Positions,
    /// `[batch]`: the index of each text's first token.
    Firsts,
    /// `[batch]`: how many tokens each text has.
    Lengths,
}

/// All of them.
pub const FEEDS: [(&str, Feed); 4] = [
    ("(places)", Feed::Places),
    ("(positions)", Feed::Positions),
    ("(firsts)", Feed::Firsts),
    ("(lengths)", Feed::Lengths),
];

/// Name of the nodes that this pass adds.
const PADDING: &str = "(padding)";

/// The model on stacked tokens, if there is one that means the same.
///
/// # Errors
/// As [`super::run`].
pub fn run(model: &Model) -> Result<Option<Stacked>, Failure> {
    let inference = infer::symbolic(model)?;
    let matcher = Matcher::of(model, &inference);
    let Some(Padding { mask, grid, hides_only }) = Padding::of(model, &matcher)? else { return Ok(None) };
    let dims = match model.inputs[grid].dims.as_deref() {
        Some([batch, seq]) => [batch.clone(), seq.clone()],
        _ => return Ok(None),
    };
    let mut stacked = Model { nodes: Vec::new(), ..model.clone() };
    let mut fresh = Fresh::after(model);
    let tokens = PortDim::Symbol("(tokens)".into());
    let mut feeds = Vec::with_capacity(FEEDS.len());
    for (name, feed) in &FEEDS {
        let dim = match feed {
            Feed::Places | Feed::Positions => &tokens,
            Feed::Firsts | Feed::Lengths => &dims[0],
        };
        let port =
            Port { name: (*name).into(), value: fresh.value(), dtype: DType::I64, dims: Some(vec![dim.clone()]) };
        feeds.push(port.value);
        stacked.inputs.push(port);
    }
    let Some([batch, seq]) = matcher.shape(model.inputs[grid].value) else { return Ok(None) };
    let mut stacker = Stacker {
        m: &matcher,
        batch,
        seq,
        tokens: Dim::symbol(infer::symbols(model).len() as Symbol),
        feeds,
        grid: model.inputs[grid].value,
        hides_only,
        stacked: vec![None; matcher.value_count()],
        with_tokens: Vec::new(),
        fresh,
    };
    for node in &model.nodes {
        let replaced = match &node.op {
            Op::Attention { .. } => stacker.attention(node).and(None),
            Op::Gather { axis: 1 } => stacker.first_token(node),
            _ => stacker.token_wise(node).and(None),
        };
        if replaced.is_none() {
            stacker.fresh.push(node.clone());
        }
    }
    let Stacker { fresh, with_tokens, feeds, .. } = stacker;
    fresh.add_to(&mut stacked);
    first_rows::run(&mut stacked, &with_tokens, feeds[Feed::Firsts as usize]);
    let mut stacked = Draft::new(stacked, false);
    absorbed::run(&mut stacked)?;
    cleanup::dead_code(&mut stacked);
    let stacked = stacked.into_model();
    // Where something still reads whole rows, the work on them would be done twice.
    let is_left = stacked.nodes.iter().any(|n| matches!(n.op, Op::Attention { .. }));
    Ok((!is_left).then_some(Stacked { model: stacked, mask, grid }))
}

/// Writes operators once more, on stacked tokens.
struct Stacker<'m> {
    m: &'m Matcher<'m>,
    batch: &'m Dim,
    seq: &'m Dim,
    tokens: Dim,
    /// In the order of [`FEEDS`].
    feeds: Vec<ValueId>,
    grid: ValueId,
    hides_only: bool,
    /// The stacked forms of `[batch, seq, ...]` values (and `[batch * seq]` ones of quantisation), by value id.
    stacked: Vec<Option<ValueId>>,
    /// All new values that have a row for each token.
    with_tokens: Vec<ValueId>,
    fresh: Fresh,
}

impl Stacker<'_> {
    fn feed(&self, feed: Feed) -> ValueId {
        self.feeds[feed as usize]
    }

    fn found(&mut self, value: ValueId, stacked: ValueId) {
        self.stacked[value.index()] = Some(stacked);
        self.with_tokens.push(stacked);
    }

    fn is_seq(&self, dim: &Dim) -> bool {
        // A table of positions is sliced to `min(its rows, seq)`, which is seq wherever the model makes sense.
        dim == self.seq || dim.as_min().is_some_and(|(a, b)| a == self.seq || b == self.seq)
    }

    /// Whether a value has elements for each token: `[batch, seq, ...]`.
    fn has_tokens(&self, value: ValueId) -> bool {
        matches!(self.m.shape(value), Some([batch, seq, ..]) if batch == self.batch && seq == self.seq)
    }

    /// The stacked form `[1, tokens, ...]` of a `[batch, seq, ...]` value; one that was not made token by token is
    /// gathered.
    fn stack(&mut self, value: ValueId) -> Option<ValueId> {
        if let Some(stacked) = self.stacked[value.index()] {
            return Some(stacked);
        }
        let shape = self.m.shape(value).filter(|_| self.has_tokens(value))?;
        let flat = [&[Dim::Const(1), self.batch.mul(self.seq)], &shape[2..]].concat();
        let flat = self.fresh.reshape(value, &flat, PADDING);
        let stacked = self.fresh.node(Op::Gather { axis: 1 }, &[flat, self.feed(Feed::Places)], PADDING);
        self.found(value, stacked);
        Some(stacked)
    }

    /// An operand of an element-wise operator with a result of `rank` axes, as it broadcasts to stacked tokens.
    fn operand(&mut self, value: ValueId, rank: usize) -> Option<ValueId> {
        if self.has_tokens(value) {
            return self.stack(value).filter(|_| self.m.shape(value).is_some_and(|s| s.len() == rank));
        }
        let shape = self.m.shape(value)?;
        let lead = rank.checked_sub(shape.len())?;
        let axis = |i: usize| i.checked_sub(lead).map(|i| &shape[i]).filter(|dim| !dim.is(1));
        match (axis(0), axis(1)) {
            (None, None) => Some(value),
            // The same for all texts: what stands at each token's position.
            (None, Some(seq)) if self.is_seq(seq) => {
                let mut whole = value;
                if lead > 0 {
                    whole = self.fresh.reshape(value, &[&[Dim::Const(1)], shape].concat(), PADDING);
                }
                let rows = self.fresh.node(Op::Gather { axis: 1 }, &[whole, self.feed(Feed::Positions)], PADDING);
                self.with_tokens.push(rows);
                Some(rows)
            }
            _ => None,
        }
    }

    /// Writes a node once more, if it does to each token the same without looking at others.
    fn token_wise(&mut self, node: &Node) -> Option<()> {
        let output = *node.outputs.first()?;
        let rank = self.m.shape(output).filter(|_| self.has_tokens(output))?.len();
        // Which operands are of tokens, and which broadcast to them.
        let (stacked, broadcast): (&[usize], &[usize]) = match &node.op {
            Op::Unary(_) | Op::Cast(_) | Op::LookUp => (&[0], &[]),
            Op::Binary(_) => (&[], &[0, 1]),
            Op::Where => (&[], &[0, 1, 2]),
            Op::Gather { axis: 0 } if self.m.constant(node.input(0)?).is_some() => (&[1], &[]),
            Op::Softmax { axis, .. } | Op::LayerNorm { axis, .. } if infer::normalize_axis(*axis, rank)? >= 2 => {
                (&[0], &[])
            }
            Op::Concat { axis } if infer::normalize_axis(*axis, rank)? >= 2 && node.inputs.len() <= 8 => {
                (&[0, 1, 2, 3, 4, 5, 6, 7], &[])
            }
            Op::Split { axis } if infer::normalize_axis(*axis, rank)? >= 2 => (&[0], &[]),
            Op::QuantizeRows if rank > 2 => (&[0], &[]),
            Op::QuantizeLinear { .. } | Op::DequantizeLinear { .. } if self.m.is_single(node.input(1)?) => (&[0], &[]),
            Op::DequantizeBlocks { .. } => (&[0, 1, 2], &[]),
            Op::Linear { .. } if rank > 2 => (&[0, 3], &[]),
            Op::LinearBlocks { .. } if rank > 2 => (&[0, 5], &[]),
            Op::LinearInt8 { .. } if rank > 2 => match node.input(1) {
                Some(scale) if !self.m.is_single(scale) => (&[0, 1, 2, 7], &[]),
                _ => (&[0, 7], &[]),
            },
            Op::Expand => return self.expand(node, rank),
            _ => return None,
        };
        let mut copy = node.clone();
        for (i, id) in copy.inputs.iter_mut().enumerate() {
            let Some(value) = *id else { continue };
            if stacked.contains(&i) {
                *id = Some(self.stack(value)?);
            } else if broadcast.contains(&i) {
                *id = Some(self.operand(value, rank)?);
            }
        }
        for id in &mut copy.outputs {
            let value = self.fresh.value();
            self.found(*id, value);
            *id = value;
        }
        self.fresh.push(copy);
        Some(())
    }

    /// What is the same for all texts, or for all tokens, needs less expanding.
    fn expand(&mut self, node: &Node, rank: usize) -> Option<()> {
        let output = *node.outputs.first()?;
        let x = self.operand(node.input(0)?, rank)?;
        let shape = [&[Dim::Const(1), self.tokens.clone()], &self.m.shape(output)?[2..]].concat();
        let shape = self.fresh.dims(&shape, &node.name);
        let value = self.fresh.node(Op::Expand, &[x, shape], &node.name);
        self.found(output, value);
        Some(())
    }

    /// Attention per text; of its mask nothing is left, unless there is more in it than padding.
    fn attention(&mut self, node: &Node) -> Option<()> {
        let Op::Attention { heads, scale } = node.op else { return None };
        let mut operands = Vec::with_capacity(5);
        for i in 0..3 {
            operands.push(self.stack(node.input(i)?)?);
        }
        operands.extend([self.feed(Feed::Lengths), self.grid]);
        operands.extend(node.input(3).filter(|_| !self.hides_only));
        let value = self.fresh.node(Op::AttentionStacked { heads, scale }, &operands, &node.name);
        self.found(*node.outputs.first()?, value);
        Some(())
    }

    /// Replaces `x[:, 0]`, the first token of each text.
    fn first_token(&mut self, node: &Node) -> Option<()> {
        let (x, index) = (node.input(0)?, node.input(1)?);
        let is_first = self.m.shape(index)?.is_empty() && self.m.elements(index)?.iter().all(|i| i.is(0));
        if !is_first || !self.has_tokens(x) {
            return None;
        }
        let output = *node.outputs.first()?;
        let x = self.stack(x)?;
        let rows = self.fresh.node(Op::Gather { axis: 1 }, &[x, self.feed(Feed::Firsts)], &node.name);
        self.fresh.finish_reshape(rows, self.m.shape(output)?, output, &node.name);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Binary, Moments, Tensor};
    use crate::testing::Builder;
    use crate::{Data, Options, Session, TensorView};

    /// Embeddings with positions, `layers` of attention and a linear layer, and the first token's logits.
    fn model(layers: usize, mask_value: f32) -> Model {
        let mut b = Builder::default();
        let [ids, mask] = ["ids", "mask"].map(|name| b.input(name, DType::I64, &["batch", "seq"]));
        let (words, positions) = (b.weight(&[20, 8]), b.weight(&[16, 8]));
        let [zero, axes] = [&[0][..], &[1, 2]].map(|values| b.integers(values));
        let seq = b.node(Op::Shape { start: 1, end: 2 }, &[ids]);
        let positions = b.node(Op::Slice, &[positions, zero, seq, zero]);
        let x = b.node(Op::Gather { axis: 0 }, &[words, ids]);
        let mut x = b.node(Op::Binary(Binary::Add), &[x, positions]);
        let mask = b.node(Op::Unsqueeze, &[mask, axes]);
        let mask = b.node(Op::Cast(DType::F32), &[mask]);
        let (one_float, low) = (b.scalar(1.0), b.scalar(mask_value));
        let mask = b.node(Op::Binary(Binary::Sub), &[one_float, mask]);
        let mask = b.node(Op::Binary(Binary::Mul), &[mask, low]);
        for _ in 0..layers {
            let [q, k, v, out] = [(); 4].map(|()| b.weight(&[8, 8]));
            let [q, k, v] = [q, k, v].map(|weight| b.node(Op::MatMul, &[x, weight]));
            let y = b.node(Op::Attention { heads: 2, scale: 0.5 }, &[q, k, v, mask]);
            let y = b.node(Op::MatMul, &[y, out]);
            let y = b.node(Op::Binary(Binary::Add), &[y, x]);
            x = b.node(Op::LayerNorm { axis: -1, epsilon: 1e-9, moments: Moments::Wide }, &[y]);
        }
        let first = b.constant(Tensor { shape: vec![], ..Tensor::vector_i64(&[0]) });
        let x = b.node(Op::Gather { axis: 1 }, &[x, first]);
        let head = b.weight(&[8, 3]);
        let y = b.node(Op::MatMul, &[x, head]);
        b.output(y)
    }

    fn run(session: &mut Session, ids: &[i64], mask: &[i64], shape: [usize; 2]) -> Vec<f32> {
        let view = |data| TensorView { shape: &shape, data: Data::I64(data) };
        let outputs = session.run(&[("ids", view(ids)), ("mask", view(mask))]).unwrap();
        outputs.get("output").and_then(|output| output.data.as_f32()).unwrap().to_vec()
    }

    fn session(literal: bool) -> Session {
        Session::with_options(model(2, f32::MIN), Options { literal, ..Options::default() }).unwrap()
    }

    #[test]
    fn operators_before_and_after() {
        let mut model = model(2, f32::MIN);
        crate::passes::run(&mut model, &Options::default()).unwrap();
        let stacked = run_on(&model).expect("a stacked form");
        let names = |model: &Model| -> Vec<String> { model.nodes.iter().map(|node| node.op.name()).collect() };
        let of = |model: &Model, name: &str| names(model).iter().filter(|n| n.as_str() == name).count();
        assert_eq!((of(&model, "Attention"), of(&stacked, "Attention")), (2, 0));
        assert_eq!((of(&stacked, "AttentionStacked"), of(&stacked, "AttentionAbsorbed")), (1, 1));
        assert_eq!(of(&stacked, "Linear") + 2, of(&model, "Linear"), "the last keys and values are not computed");
        let gone = ["Unsqueeze", "Cast", "Sub", "Mul"];
        assert!(gone.iter().all(|name| of(&model, name) > 0 && of(&stacked, name) == 0), "the mask is not computed");
        // The last layer's query and all behind its attention run on one row for each text.
        let inference = infer::symbolic(&stacked).unwrap();
        let texts = inference.shape(stacked.inputs[0].value).unwrap()[0].clone();
        let rows = |node: &Node| inference.shape(node.outputs[0]).unwrap().iter().rev().nth(1).cloned();
        let on_firsts =
            stacked.nodes.iter().filter(|node| node.op.name() == "Linear" && rows(node) == Some(texts.clone()));
        assert_eq!(on_firsts.count(), 3, "query, projection, head");
    }

    fn run_on(model: &Model) -> Option<Model> {
        super::run(model).unwrap().map(|stacked| stacked.model)
    }

    #[test]
    fn a_text_gives_the_same_bits_in_any_batch() {
        let (mut stacked, mut literal) = (session(false), session(true));
        let ids: Vec<i64> = (0..18).map(|i| i * 7 % 20).collect();
        let mask: Vec<i64> = [6, 1, 4].iter().flat_map(|&n| (0..6).map(move |i| i64::from(i < n))).collect();
        let together = run(&mut stacked, &ids, &mask, [3, 6]);
        for (text, length) in [6, 1, 4].into_iter().enumerate() {
            let alone = run(&mut stacked, &ids[text * 6..][..length], &vec![1; length], [1, length]);
            assert_eq!(alone, together[text * 3..][..3]);
        }
        for (a, b) in together.iter().zip(run(&mut literal, &ids, &mask, [3, 6])) {
            assert!((a - b).abs() < 1e-5);
        }
    }

    #[test]
    fn holes_in_a_mask_are_computed_as_the_model_says() {
        let (mut stacked, mut literal) = (session(false), session(true));
        let ids: Vec<i64> = (3..9).collect();
        for mask in [[1, 0, 1, 1, 1, 1], [0, 1, 1, 1, 0, 0], [0; 6], [2, 1, 1, 1, 1, 1]] {
            let [a, b] = [&mut stacked, &mut literal].map(|session| run(session, &ids, &mask, [1, 6]));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{mask:?}: {a:?} {b:?}");
        }
    }

    #[test]
    fn a_mask_that_does_not_hide_is_left_alone() {
        for weak in [-1.0, 0.0, 10000.0] {
            let mut model = model(1, weak);
            crate::passes::run(&mut model, &Options::default()).unwrap();
            assert!(run_on(&model).is_none(), "{weak}");
        }
    }
}
