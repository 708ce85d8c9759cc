//! The type and shape of each operator's result.

use super::operands::{Known, Visit, known, shape_range};
use super::{Fact, show, show_sizes};
use crate::dim::{Dim, product};
use crate::error::Failure;
use crate::ir::{DType, Op, Unary};

impl Visit<'_> {
    /// What is known of the node's results; nothing of those that are not in the list.
    pub(super) fn outputs(&self) -> Result<Vec<Fact>, Failure> {
        match &self.node.op {
            Op::Split { axis } => self.split(*axis),
            Op::TopK { axis, .. } => self.top_k(*axis),
            Op::DynamicQuantizeLinear | Op::QuantizeRows => {
                let Some(x) = self.fact(0) else { return Ok(Vec::new()) };
                let range = match x.shape.split_last() {
                    Some((_, rows)) if self.node.op == Op::QuantizeRows => vec![product(rows)],
                    _ => Vec::new(),
                };
                let fact = |dtype, shape| Fact { dtype, shape, elements: None };
                let quantized = fact(DType::U8, x.shape.clone());
                Ok(vec![quantized, fact(DType::F32, range.clone()), fact(DType::U8, range)])
            }
            _ => {
                let Some((dtype, shape)) = self.output()? else { return Ok(Vec::new()) };
                let elements = if dtype == DType::F32 { None } else { self.output_elements(&shape) };
                Ok(vec![Fact { dtype, shape, elements }])
            }
        }
    }

    /// Type and shape of a node's first output.
    fn output(&self) -> Known<(DType, Vec<Dim>)> {
        let node = self.node;
        if let Op::Dims(dims) = &node.op {
            return Ok(Some((DType::I64, vec![dims.len().into()])));
        }
        let Fact { dtype, shape: x, .. } = known!(self.fact(0));
        let (mut dtype, rank) = (*dtype, x.len());
        let shape = match &node.op {
            Op::Unary(op) => {
                dtype = if *op == Unary::IsNan { DType::Bool } else { dtype };
                x.clone()
            }
            Op::CumSum { .. } if rank == 0 => return self.invalid("a scalar has no axis to sum along"),
            Op::CumSum { .. } => x.clone(),
            Op::Binary(op) => {
                let y = known!(self.fact(1));
                if dtype != y.dtype {
                    return self.invalid(format!("operands are {} and {}", dtype.name(), y.dtype.name()));
                }
                dtype = if op.gives_bool() { DType::Bool } else { dtype };
                self.broadcast(x, &y.shape)?
            }
            Op::Where => {
                let (y, z) = (known!(self.fact(1)), known!(self.fact(2)));
                if dtype != DType::Bool || y.dtype != z.dtype {
                    let (x, y, z) = (dtype.name(), y.dtype.name(), z.dtype.name());
                    return self.invalid(format!("operands are {x}, {y} and {z}"));
                }
                dtype = y.dtype;
                self.broadcast(x, &self.broadcast(&y.shape, &z.shape)?)?
            }
            Op::If => {
                let known = self.elements(0).and_then(|c| c.first()?.known());
                let y = known!(self.fact(if known == Some(0) { 2 } else { 1 }));
                let z = if known.is_none() { known!(self.fact(2)) } else { y };
                if z.shape != y.shape || z.dtype != y.dtype {
                    return Ok(None);
                }
                dtype = y.dtype;
                y.shape.clone()
            }
            Op::Cast(to) => {
                dtype = to.runtime();
                x.clone()
            }
            Op::Reduce { keep_dims, .. } => {
                let axes = known!(self.reduced(rank)?);
                let mut shape = Vec::with_capacity(rank);
                for (i, d) in x.iter().enumerate() {
                    match axes.contains(&(i as i64)) {
                        true if *keep_dims => shape.push(Dim::Const(1)),
                        true => {}
                        false => shape.push(d.clone()),
                    }
                }
                shape
            }
            Op::Softmax { axis, .. } => {
                self.axis(*axis, rank.max(1))?;
                x.clone()
            }
            Op::LayerNorm { axis, .. } => {
                let axis = self.axis(*axis, rank)?;
                for i in 1..3 {
                    if let Some(p) = self.fact(i)
                        && product(&p.shape) != product(&x[axis..])
                    {
                        return self.invalid(format!("scale or bias of shape {} on {}", show(&p.shape), show(x)));
                    }
                }
                x.clone()
            }
            Op::MatMul => self.matmul(x, &known!(self.fact(1)).shape)?,
            Op::MatMulInteger => {
                dtype = DType::I32;
                self.matmul(x, &known!(self.fact(1)).shape)?
            }
            Op::Gemm { trans_a, trans_b, .. } => {
                let y = known!(self.fact(1));
                if rank != 2 || y.shape.len() != 2 {
                    return self.invalid("Gemm wants matrices");
                }
                let mut rows = x.clone();
                if *trans_a {
                    rows.reverse();
                }
                let shape = self.linear(&rows, &y.shape, *trans_b)?;
                if let Some(c) = self.fact(2) {
                    self.broadcast(&c.shape, &shape)?;
                }
                shape
            }
            Op::Transpose { perm } => {
                if perm.len() != rank || (0..rank).any(|axis| !perm.contains(&axis)) {
                    return self.invalid(format!("permutation {} of a tensor of rank {rank}", show_sizes(perm)));
                }
                let mut shape = Vec::with_capacity(rank);
                perm.iter().for_each(|&axis| shape.push(x[axis].clone()));
                shape
            }
            Op::Reshape { allow_zero } => self.reshape(x, known!(self.elements(1)), *allow_zero)?,
            Op::Unsqueeze => {
                let axes = known!(self.numbers(1));
                let axes = self.axes(&axes, rank + axes.len())?;
                let (mut shape, mut dims) = (Vec::with_capacity(rank + axes.len()), x.iter());
                for i in 0..rank + axes.len() {
                    if axes.contains(&i) {
                        shape.push(Dim::Const(1));
                    } else if let Some(dim) = dims.next() {
                        shape.push(dim.clone());
                    }
                }
                shape
            }
            Op::Squeeze => {
                let axes = match self.has(1) {
                    true => Some(self.axes(&known!(self.numbers(1)), rank)?),
                    false => None,
                };
                let mut shape = Vec::with_capacity(rank);
                for (i, dim) in x.iter().enumerate() {
                    match axes.as_ref().map_or(dim.is(1), |axes| axes.contains(&i)) {
                        false => shape.push(dim.clone()),
                        true if dim.known().is_some_and(|n| n != 1) => {
                            return self.invalid(format!("axis {i} of {} is not of size 1", show(x)));
                        }
                        true => {}
                    }
                }
                shape
            }
            Op::Flatten { axis } => {
                let axis = if *axis == rank as i64 { rank } else { self.axis(*axis, rank.max(1))? };
                vec![product(&x[..axis]), product(&x[axis..])]
            }
            Op::Expand => self.broadcast(known!(self.elements(1)), x)?,
            Op::Concat { axis } => {
                let axis = self.axis(*axis, rank)?;
                let mut shape = x.clone();
                for i in 1..node.inputs.len() {
                    let part = known!(self.fact(i));
                    if part.shape.len() != rank || part.dtype != dtype {
                        return self.invalid("the tensors to join differ in rank or type");
                    }
                    for (j, d) in part.shape.iter().enumerate() {
                        if j == axis {
                            shape[j] = shape[j].add(d);
                        } else if shape[j].known().zip(d.known()).is_some_and(|(a, b)| a != b) {
                            let joined = show(&part.shape);
                            return self.invalid(format!("{} and {joined} do not join on axis {axis}", show(x)));
                        }
                    }
                }
                shape
            }
            Op::Slice => {
                let mut shape = x.clone();
                for s in known!(self.slices(x)?) {
                    shape[s.axis] = s.length;
                }
                shape
            }
            Op::Gather { axis } => {
                let axis = self.axis(*axis, rank)?;
                [&x[..axis], &known!(self.fact(1)).shape, &x[axis + 1..]].concat()
            }
            Op::GatherElements { axis } => {
                self.axis(*axis, rank)?;
                let indices = &known!(self.fact(1)).shape;
                if indices.len() != rank {
                    return self.invalid("data and indices differ in rank");
                }
                indices.clone()
            }
            Op::GatherNd { batch_dims } => {
                let indices = &known!(self.fact(1)).shape;
                let Some((last, outer)) = indices.split_last() else {
                    return self.invalid("indices are a scalar");
                };
                let depth = known!(last.known()) as usize;
                let (Some(rest), true) = (x.get(batch_dims.saturating_add(depth)..), *batch_dims <= outer.len()) else {
                    return self.invalid("indices have more elements than data has axes");
                };
                for (a, b) in x.iter().zip(outer).take(*batch_dims) {
                    self.same_k(a, b, x, indices)?;
                }
                [outer, rest].concat()
            }
            Op::Shape { start, end } => {
                dtype = DType::I64;
                let (start, end) = shape_range(*start, *end, rank);
                vec![(end - start).into()]
            }
            Op::Range => vec![known!(self.range_length()?)],
            Op::Tile => {
                let repeats = known!(self.elements(1));
                if repeats.len() != rank {
                    return self.invalid("one repeat count for each axis is wanted");
                }
                let mut shape = x.clone();
                for (dim, repeat) in shape.iter_mut().zip(repeats) {
                    *dim = dim.mul(repeat);
                }
                shape
            }
            Op::Pad => {
                let (axes, pads) = known!(self.pads(rank)?);
                let mut shape = x.clone();
                for (i, &axis) in axes.iter().enumerate() {
                    shape[axis] = shape[axis].add(&pads[i]).add(&pads[i + axes.len()]);
                }
                shape
            }
            Op::AttentionHeads { .. } => {
                let (Some(dv), 4) = (known!(self.fact(2)).shape.last(), rank) else {
                    return self.invalid("attention wants tensors of rank 4");
                };
                [&x[..3], std::slice::from_ref(dv)].concat()
            }
            Op::Attention { heads, .. } => {
                let (k, v) = (&known!(self.fact(1)).shape, &known!(self.fact(2)).shape);
                let ([batch, seq_q, q_dim], [_, seq_k, _], [_, _, v_dim]) = (&x[..], &k[..], &v[..]) else {
                    return self.invalid("attention wants tensors of rank 3");
                };
                let divides = |d: &Dim| d.known().is_none_or(|n| *heads > 0 && n % *heads as i64 == 0);
                if !divides(q_dim) || !divides(v_dim) {
                    return self.invalid(format!("{heads} heads do not divide {q_dim} and {v_dim}"));
                }
                for (a, b, axis) in [(x, k, 2), (k, v, 1), (x, k, 0), (x, v, 0)] {
                    self.same_k(&a[axis], &b[axis], a, b)?;
                }
                if let Some(mask) = self.fact(3) {
                    let scores = [batch.clone(), (*heads).into(), seq_q.clone(), seq_k.clone()];
                    let all = self.broadcast(&scores, &mask.shape)?;
                    if all.len() != scores.len() {
                        return self.mismatch(&mask.shape, &scores);
                    }
                    for (a, score) in all.iter().zip(&scores) {
                        self.same_k(a, score, &mask.shape, &scores)?;
                    }
                }
                vec![batch.clone(), seq_q.clone(), v_dim.clone()]
            }
            Op::AttentionStacked { .. } => {
                let (3, Some(v_dim)) = (rank, known!(self.fact(2)).shape.last()) else {
                    return self.invalid("attention wants tensors of rank 3");
                };
                [&x[..2], std::slice::from_ref(v_dim)].concat()
            }
            Op::QuantizeLinear { .. } => {
                dtype = self.fact(2).map_or(DType::U8, |z| z.dtype);
                x.clone()
            }
            Op::DequantizeLinear { .. } => {
                dtype = DType::F32;
                x.clone()
            }
            Op::AttentionAbsorbed { .. } => x.clone(),
            Op::LookUp => {
                dtype = known!(self.fact(1)).dtype;
                x.clone()
            }
            Op::Linear { trans_b, .. } => self.linear(x, &known!(self.fact(1)).shape, *trans_b)?,
            Op::DequantizeBlocks { k, .. } => {
                let Some((_, rows)) = x.split_last() else {
                    return self.invalid("a scalar has no rows of codes");
                };
                dtype = DType::F32;
                [rows, &[Dim::from(*k)]].concat()
            }
            Op::TransposeCodes { code, k, n } => vec![Dim::from(*n), Dim::from(code.codes_len(1, *k, *k))],
            Op::LinearBlocks { k, n, .. } => self.linear(x, &[Dim::from(*k), Dim::from(*n)], false)?,
            Op::LinearInt8 { .. } => {
                dtype = DType::F32;
                self.linear(x, &known!(self.fact(3)).shape, false)?
            }
            Op::Dims(_) | Op::Split { .. } | Op::TopK { .. } | Op::DynamicQuantizeLinear | Op::QuantizeRows => {
                return Ok(None);
            }
        };
        Ok(Some((dtype, shape)))
    }

    /// Two dimensions of two shapes that must be equal.
    fn same_k(&self, a: &Dim, b: &Dim, left: &[Dim], right: &[Dim]) -> Result<(), Failure> {
        match a.known().zip(b.known()) {
            Some((a, b)) if a != b => self.mismatch(left, right),
            _ => Ok(()),
        }
    }

    fn matmul(&self, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, Failure> {
        let (Some(a_last), Some(b_last)) = (a.last(), b.last()) else {
            return self.invalid("a scalar cannot be multiplied as a matrix");
        };
        let b_k = if b.len() > 1 { &b[b.len() - 2] } else { b_last };
        self.same_k(a_last, b_k, a, b)?;
        let mut shape = self.broadcast(&a[..a.len().saturating_sub(2)], &b[..b.len().saturating_sub(2)])?;
        if a.len() > 1 {
            shape.push(a[a.len() - 2].clone());
        }
        if b.len() > 1 {
            shape.push(b_last.clone());
        }
        Ok(shape)
    }

    fn linear(&self, x: &[Dim], weight: &[Dim], trans_b: bool) -> Result<Vec<Dim>, Failure> {
        let (Some((k, rows)), [first, second]) = (x.split_last(), weight) else {
            return self.invalid("a linear layer wants rows and a matrix");
        };
        let (weight_k, n) = if trans_b { (second, first) } else { (first, second) };
        self.same_k(k, weight_k, x, weight)?;
        Ok([rows, std::slice::from_ref(n)].concat())
    }

    fn reshape(&self, from: &[Dim], target: &[Dim], allow_zero: bool) -> Result<Vec<Dim>, Failure> {
        let mut shape = Vec::with_capacity(target.len());
        let mut rest = None;
        for (i, d) in target.iter().enumerate() {
            match d.known() {
                Some(0) if !allow_zero => match from.get(i) {
                    Some(same) => shape.push(same.clone()),
                    None => return self.invalid(format!("no axis {i} to copy in {}", show(from))),
                },
                Some(-1) if rest.is_none() => {
                    rest = Some(i);
                    shape.push(Dim::Const(1));
                }
                Some(n) if n < 0 => return self.invalid(format!("{} is not a shape", show(target))),
                _ => shape.push(d.clone()),
            }
        }
        let (all, given) = (product(from), product(&shape));
        if let Some(i) = rest {
            match all.div(&given) {
                Some(d) if given.known().is_none() || all.known().is_none() || d.mul(&given) == all => shape[i] = d,
                _ => return self.invalid(format!("{} does not reshape to {}", show(from), show(target))),
            }
        } else if let (Some(a), Some(b)) = (all.known(), given.known())
            && a != b
        {
            return self.invalid(format!("{} does not reshape to {}", show(from), show(target)));
        }
        Ok(shape)
    }

    fn split(&self, axis: i64) -> Result<Vec<Fact>, Failure> {
        let parts = self.node.outputs.len();
        let Some(x) = self.fact(0) else { return Ok(Vec::new()) };
        let axis = self.axis(axis, x.shape.len())?;
        let sizes = match self.has(1) {
            true => match self.elements(1) {
                Some(sizes) => sizes.to_vec(),
                None => return Ok(Vec::new()),
            },
            false => {
                let count = Dim::from(parts);
                let Some(part) = x.shape[axis].add(&count).sub(&Dim::Const(1)).div(&count) else {
                    return self.invalid("a split into no parts");
                };
                let last = x.shape[axis].sub(&part.mul(&Dim::from(parts - 1)));
                let mut sizes = vec![part; parts];
                sizes[parts - 1] = last;
                sizes
            }
        };
        let (mut end, mut facts) = (Dim::Const(0), Vec::with_capacity(parts));
        let elements = x.elements.as_deref().filter(|_| x.shape.len() == 1);
        for size in sizes {
            let range =
                end.known().zip(size.known()).map(|(start, len)| start as usize..start.wrapping_add(len) as usize);
            let part = range.and_then(|range| elements?.get(range)).map(<[Dim]>::to_vec);
            end = end.add(&size);
            let mut shape = x.shape.clone();
            shape[axis] = size;
            facts.push(Fact { dtype: x.dtype, shape, elements: part });
        }
        if facts.len() != parts || end.sub(&x.shape[axis]).sign().is_some_and(|s| s != 0) {
            return self.invalid(format!("{} does not split so", show(&x.shape)));
        }
        Ok(facts)
    }

    fn top_k(&self, axis: i64) -> Result<Vec<Fact>, Failure> {
        let (Some(x), Some(k)) = (self.fact(0), self.elements(1).and_then(|k| k.first())) else {
            return Ok(Vec::new());
        };
        let mut shape = x.shape.clone();
        let axis = self.axis(axis, shape.len())?;
        if shape[axis].sub(k).sign() == Some(-1) {
            return self.invalid(format!("the best {k} of {} are wanted", show(&shape)));
        }
        shape[axis] = k.clone();
        let fact = |dtype| Fact { dtype, shape: shape.clone(), elements: None };
        Ok(vec![fact(x.dtype), fact(DType::I64)])
    }
}
