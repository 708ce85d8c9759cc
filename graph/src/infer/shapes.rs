//! The type and shape of each operator's result.

use super::operands::{Known, Visit, known, shape_range};
use super::{Fact, show};
use crate::dim::{Dim, product};
use crate::error::Failure;
use crate::ir::{DType, Op, Unary};

impl Visit<'_> {
    pub(super) fn outputs(&self) -> Result<Vec<Option<Fact>>, Failure> {
        match &self.node.op {
            Op::Split { axis } => self.split(*axis),
            Op::TopK { axis, .. } => self.top_k(*axis),
            Op::DynamicQuantizeLinear | Op::QuantizeRows => {
                let Some(x) = self.fact(0) else { return Ok(vec![None; 3]) };
                let range = match x.shape.split_last() {
                    Some((_, rows)) if self.node.op == Op::QuantizeRows => vec![product(rows)],
                    _ => Vec::new(),
                };
                let fact = |dtype, shape| Some(Fact { dtype, shape, elements: None });
                let quantized = fact(DType::U8, x.shape.clone());
                Ok(vec![quantized, fact(DType::F32, range.clone()), fact(DType::U8, range)])
            }
            _ => Ok(vec![self.output()?.map(|(dtype, shape)| {
                let elements = if dtype == DType::F32 { None } else { self.output_elements(&shape) };
                Fact { dtype, shape, elements }
            })]),
        }
    }

    /// Type and shape of a node's first output.
    fn output(&self) -> Known<(DType, Vec<Dim>)> {
        let node = self.node;
        match &node.op {
            Op::Dims(dims) => return Ok(Some((DType::I64, vec![dims.len().into()]))),
            Op::ConstantOfShape { value } => {
                let shape = known!(self.elements(0)).to_vec();
                return Ok(Some((value.dtype.runtime(), shape)));
            }
            _ => {}
        }
        let x = known!(self.fact(0)).clone();
        let rank = x.shape.len();
        let result = match &node.op {
            Op::Unary(Unary::IsNan) => (DType::Bool, x.shape),
            Op::Unary(_) => (x.dtype, x.shape),
            Op::CumSum { .. } if rank == 0 => return self.invalid("a scalar has no axis to sum along"),
            Op::CumSum { .. } => (x.dtype, x.shape),
            Op::Binary(op) => {
                let y = known!(self.fact(1)).clone();
                if x.dtype != y.dtype {
                    return self.invalid(format!("operands are {} and {}", x.dtype.name(), y.dtype.name()));
                }
                let dtype = if op.gives_bool() { DType::Bool } else { x.dtype };
                (dtype, self.broadcast(&x.shape, &y.shape)?)
            }
            Op::Where => {
                let (y, z) = (known!(self.fact(1)).clone(), known!(self.fact(2)).clone());
                if x.dtype != DType::Bool || y.dtype != z.dtype {
                    return self.invalid(format!(
                        "operands are {}, {} and {}",
                        x.dtype.name(),
                        y.dtype.name(),
                        z.dtype.name()
                    ));
                }
                let shape = self.broadcast(&y.shape, &z.shape)?;
                (y.dtype, self.broadcast(&x.shape, &shape)?)
            }
            Op::If => {
                let known = self.elements(0).and_then(|c| c.first()?.known());
                let (y, z) = match known {
                    Some(0) => (known!(self.fact(2)), None),
                    Some(_) => (known!(self.fact(1)), None),
                    None => (known!(self.fact(1)), Some(known!(self.fact(2)))),
                };
                if z.is_some_and(|z| z.shape != y.shape || z.dtype != y.dtype) {
                    return Ok(None);
                }
                (y.dtype, y.shape.clone())
            }
            Op::Cast(to) => (to.runtime(), x.shape),
            Op::Reduce { keep_dims, .. } => {
                let axes = known!(self.reduced(rank)?);
                let kept = x.shape.into_iter().enumerate().filter_map(|(i, d)| match axes.contains(&i) {
                    true => keep_dims.then_some(Dim::Const(1)),
                    false => Some(d),
                });
                (x.dtype, kept.collect())
            }
            Op::Softmax { axis, .. } => {
                if rank > 0 {
                    self.axis(*axis, rank)?;
                }
                (x.dtype, x.shape)
            }
            Op::LayerNorm { axis, .. } => {
                let axis = self.axis(*axis, rank)?;
                for i in 1..3 {
                    if let Some(p) = self.fact(i)
                        && product(&p.shape) != product(&x.shape[axis..])
                    {
                        return self.invalid(format!(
                            "scale or bias of shape {} on {}",
                            show(&p.shape),
                            show(&x.shape)
                        ));
                    }
                }
                (x.dtype, x.shape)
            }
            Op::MatMul | Op::MatMulInteger => {
                let y = known!(self.fact(1)).clone();
                let shape = self.matmul(&x.shape, &y.shape)?;
                if node.op == Op::MatMul {
                    return Ok(Some((x.dtype, shape)));
                }
                let columns = y.shape.last().filter(|_| y.shape.len() > 1).and_then(Dim::known);
                let zeros = self.fact(3).and_then(|z| product(&z.shape).known());
                if let (Some(columns), Some(zeros)) = (columns, zeros)
                    && zeros > 1
                    && zeros != columns
                {
                    return self.invalid(format!("{zeros} zero points for {columns} columns"));
                }
                (DType::I32, shape)
            }
            Op::Gemm { trans_a, trans_b, .. } => {
                let y = known!(self.fact(1)).clone();
                if rank != 2 || y.shape.len() != 2 {
                    return self.invalid("Gemm wants matrices");
                }
                let (a, b) = (usize::from(*trans_a), usize::from(*trans_b));
                self.same_k(&x.shape[1 - a], &y.shape[b], &x.shape, &y.shape)?;
                let shape = vec![x.shape[a].clone(), y.shape[1 - b].clone()];
                if let Some(c) = self.fact(2).cloned() {
                    self.broadcast(&c.shape, &shape)?;
                }
                (x.dtype, shape)
            }
            Op::Transpose { perm } => {
                let mut seen = perm.clone();
                seen.sort_unstable();
                if seen != (0..rank).collect::<Vec<_>>() {
                    return self.invalid(format!("permutation {perm:?} of a tensor of rank {rank}"));
                }
                (x.dtype, perm.iter().map(|&i| x.shape[i].clone()).collect())
            }
            Op::Reshape { allow_zero } => {
                let target = known!(self.elements(1)).to_vec();
                (x.dtype, self.reshape(&x.shape, &target, *allow_zero)?)
            }
            Op::Unsqueeze => {
                let axes = known!(self.numbers(1));
                let axes = self.axes(&axes, rank + axes.len())?;
                let mut dims = x.shape.into_iter();
                let shape = (0..rank + axes.len()).map_while(|i| match axes.contains(&i) {
                    true => Some(Dim::Const(1)),
                    false => dims.next(),
                });
                (x.dtype, shape.collect())
            }
            Op::Squeeze => {
                let axes = match self.has(1) {
                    true => self.axes(&known!(self.numbers(1)), rank)?,
                    false => (0..rank).filter(|&i| x.shape[i].is(1)).collect(),
                };
                (x.dtype, (0..rank).filter(|i| !axes.contains(i)).map(|i| x.shape[i].clone()).collect())
            }
            Op::Flatten { axis } => {
                let axis = if *axis == rank as i64 { rank } else { self.axis(*axis, rank.max(1))? };
                (x.dtype, vec![product(&x.shape[..axis]), product(&x.shape[axis..])])
            }
            Op::Expand => {
                let target = known!(self.elements(1)).to_vec();
                (x.dtype, self.broadcast(&target, &x.shape)?)
            }
            Op::Concat { axis } => {
                let axis = self.axis(*axis, rank)?;
                let mut shape = x.shape;
                for i in 1..node.inputs.len() {
                    let part = known!(self.fact(i));
                    if part.shape.len() != rank || part.dtype != x.dtype {
                        return self.invalid("the tensors to join differ in rank or type");
                    }
                    for (j, d) in part.shape.iter().enumerate() {
                        if j == axis {
                            shape[j] = shape[j].add(d);
                        } else if let (Some(a), Some(b)) = (shape[j].known(), d.known())
                            && a != b
                        {
                            return self.invalid(format!("the tensors to join have {a} and {b} on axis {j}"));
                        }
                    }
                }
                (x.dtype, shape)
            }
            Op::Slice => {
                let mut shape = x.shape.clone();
                for s in known!(self.slices(&x.shape)?) {
                    shape[s.axis] = s.length;
                }
                (x.dtype, shape)
            }
            Op::Gather { axis } => {
                let axis = self.axis(*axis, rank)?;
                let indices = known!(self.fact(1));
                (x.dtype, [&x.shape[..axis], &indices.shape[..], &x.shape[axis + 1..]].concat())
            }
            Op::GatherElements { axis } => {
                self.axis(*axis, rank)?;
                let indices = known!(self.fact(1));
                if indices.shape.len() != rank {
                    return self.invalid("data and indices differ in rank");
                }
                (x.dtype, indices.shape.clone())
            }
            Op::GatherNd { batch_dims } => {
                let indices = known!(self.fact(1)).shape.clone();
                let Some((last, outer)) = indices.split_last() else {
                    return self.invalid("indices are a scalar");
                };
                let depth = known!(last.known()) as usize;
                match x.shape.get(batch_dims.saturating_add(depth)..) {
                    Some(rest) if *batch_dims <= outer.len() => {
                        for (a, b) in x.shape.iter().zip(outer).take(*batch_dims) {
                            self.same_k(a, b, &x.shape, &indices)?;
                        }
                        (x.dtype, [outer, rest].concat())
                    }
                    _ => return self.invalid("indices have more elements than data has axes"),
                }
            }
            Op::Shape { start, end } => {
                let (start, end) = shape_range(*start, *end, rank);
                (DType::I64, vec![(end - start).into()])
            }
            Op::Range => (x.dtype, vec![known!(self.range_length()?)]),
            Op::Tile => {
                let repeats = known!(self.elements(1));
                if repeats.len() != rank {
                    return self.invalid("one repeat count for each axis is wanted");
                }
                (x.dtype, x.shape.iter().zip(repeats).map(|(d, r)| d.mul(r)).collect())
            }
            Op::Pad => {
                let (axes, pads) = known!(self.pads(rank)?);
                let mut shape = x.shape;
                for (i, &axis) in axes.iter().enumerate() {
                    shape[axis] = shape[axis].add(&pads[i]).add(&pads[i + axes.len()]);
                }
                (x.dtype, shape)
            }
            Op::AttentionHeads { .. } => {
                let v = known!(self.fact(2));
                let (Some(dv), 4) = (v.shape.last(), rank) else {
                    return self.invalid("attention wants tensors of rank 4");
                };
                let mut shape = x.shape;
                shape[3] = dv.clone();
                (x.dtype, shape)
            }
            Op::Attention { heads, .. } => {
                let (k, v) = (known!(self.fact(1)).clone(), known!(self.fact(2)).clone());
                let mask = self.fact(3).cloned();
                if rank != 3 || k.shape.len() != 3 || v.shape.len() != 3 {
                    return self.invalid("attention wants tensors of rank 3");
                }
                let divides = |d: &Dim| d.known().is_none_or(|n| *heads > 0 && n % *heads as i64 == 0);
                if !divides(&x.shape[2]) || !divides(&v.shape[2]) {
                    return self.invalid(format!("{heads} heads do not divide {} and {}", x.shape[2], v.shape[2]));
                }
                self.same_k(&x.shape[2], &k.shape[2], &x.shape, &k.shape)?;
                self.same_k(&k.shape[1], &v.shape[1], &k.shape, &v.shape)?;
                self.same_k(&x.shape[0], &k.shape[0], &x.shape, &k.shape)?;
                self.same_k(&x.shape[0], &v.shape[0], &x.shape, &v.shape)?;
                if let Some(mask) = mask {
                    let scores = [x.shape[0].clone(), (*heads).into(), x.shape[1].clone(), k.shape[1].clone()];
                    let all = self.broadcast(&scores, &mask.shape)?;
                    let grows = all.len() != 4
                        || all.iter().zip(&scores).any(|(a, s)| a.known().is_some() && s.known().is_some() && a != s);
                    if grows {
                        return self.invalid(format!(
                            "a mask of shape {} for scores of shape {}",
                            show(&mask.shape),
                            show(&scores)
                        ));
                    }
                }
                let [batch, seq, _] =
                    <[Dim; 3]>::try_from(x.shape).unwrap_or_else(|_| std::array::from_fn(|_| Dim::Const(0)));
                (x.dtype, vec![batch, seq, v.shape[2].clone()])
            }
            Op::AttentionStacked { .. } => {
                let v = known!(self.fact(2));
                let (3, [_, _, v_dim]) = (rank, v.shape.as_slice()) else {
                    return self.invalid("attention wants tensors of rank 3");
                };
                (x.dtype, vec![x.shape[0].clone(), x.shape[1].clone(), v_dim.clone()])
            }
            Op::QuantizeLinear { .. } => (self.fact(2).map_or(DType::U8, |z| z.dtype), x.shape),
            Op::DequantizeLinear { .. } => (DType::F32, x.shape),
            Op::LookUp => (known!(self.fact(1)).dtype, x.shape),
            Op::Linear { trans_b, .. } => {
                let weight = known!(self.fact(1)).shape.clone();
                (x.dtype, self.linear(&x.shape, &weight, *trans_b)?)
            }
            Op::DequantizeBlocks { k, .. } => match x.shape.split_last() {
                Some((_, rows)) => (DType::F32, [rows, &[Dim::from(*k)]].concat()),
                None => return self.invalid("a scalar has no rows of codes"),
            },
            Op::TransposeNibbles { k, n } => (DType::U8, vec![Dim::from(*n), Dim::from(k.div_ceil(2))]),
            Op::LinearBlocks { k, n, .. } => (x.dtype, self.linear(&x.shape, &[Dim::from(*k), Dim::from(*n)], false)?),
            Op::LinearInt8 { .. } => {
                let weight = known!(self.fact(3)).shape.clone();
                (DType::F32, self.linear(&x.shape, &weight, false)?)
            }
            Op::Dims(_)
            | Op::ConstantOfShape { .. }
            | Op::Split { .. }
            | Op::TopK { .. }
            | Op::DynamicQuantizeLinear
            | Op::QuantizeRows => return Ok(None),
        };
        Ok(Some(result))
    }

    fn same_k(&self, a: &Dim, b: &Dim, left: &[Dim], right: &[Dim]) -> Result<(), Failure> {
        match (a.known(), b.known()) {
            (Some(a), Some(b)) if a != b => {
                self.invalid(format!("shapes {} and {} do not match", show(left), show(right)))
            }
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

    fn split(&self, axis: i64) -> Result<Vec<Option<Fact>>, Failure> {
        let parts = self.node.outputs.len();
        let Some(x) = self.fact(0) else { return Ok(vec![None; parts]) };
        let axis = self.axis(axis, x.shape.len())?;
        let sizes = match self.has(1) {
            true => match self.elements(1) {
                Some(sizes) => sizes.to_vec(),
                None => return Ok(vec![None; parts]),
            },
            false => {
                let count = Dim::from(parts);
                let Some(part) = x.shape[axis].add(&count).sub(&Dim::Const(1)).div(&count) else {
                    return self.invalid("a split into no parts");
                };
                let last = x.shape[axis].sub(&part.mul(&Dim::from(parts - 1)));
                [vec![part; parts - 1], vec![last]].concat()
            }
        };
        let total = sizes.iter().fold(Dim::Const(0), |sum, d| sum.add(d));
        if sizes.len() != parts || total.sub(&x.shape[axis]).sign().is_some_and(|s| s != 0) {
            return self.invalid(format!("{} does not split so", show(&x.shape)));
        }
        let mut rest = x.elements.as_deref().filter(|_| x.shape.len() == 1);
        let part = |size: Dim| {
            let taken = size.known().and_then(|n| rest?.split_at_checked(usize::try_from(n).ok()?));
            rest = taken.map(|(_, rest)| rest);
            let mut shape = x.shape.clone();
            shape[axis] = size;
            Some(Fact { dtype: x.dtype, shape, elements: taken.map(|(part, _)| part.to_vec()) })
        };
        Ok(sizes.into_iter().map(part).collect())
    }
    fn top_k(&self, axis: i64) -> Result<Vec<Option<Fact>>, Failure> {
        let (Some(x), Some(k)) = (self.fact(0), self.elements(1).and_then(|k| k.first())) else {
            return Ok(vec![None; 2]);
        };
        let mut shape = x.shape.clone();
        let axis = self.axis(axis, shape.len())?;
        if shape[axis].sub(k).sign() == Some(-1) {
            return self.invalid(format!("the best {k} of {} are wanted", show(&shape)));
        }
        shape[axis] = k.clone();
        let fact = |dtype| Some(Fact { dtype, shape: shape.clone(), elements: None });
        Ok(vec![fact(x.dtype), fact(DType::I64)])
    }
}
