//! Types and shapes of every value, and the elements of the small integer tensors that shapes are computed with.
//!
//! One function serves twice. At load it runs with symbols for the dimensions that the file leaves open, so that
//! passes can compare shapes; for a concrete input it runs with numbers, so that the plan is checked by the same
//! rules that the passes relied on. A value about which nothing is known (its shape depends on data) has no [`Fact`];
//! that is an error only where the plan needs it.

use crate::dim::{Dim, Symbol, product};
use crate::error::Error;
use std::cell::RefCell;

use crate::ir::{Binary, DType, Model, Node, Op, Port, PortDim, Tensor, Unary, ValueId};

/// What is known about a value.
#[derive(Clone, PartialEq, Debug)]
pub struct Fact {
    /// Runtime type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Vec<Dim>,
    /// Elements in row-major order, of integer and bool tensors of at most [`MAX_TRACKED`] elements.
    pub elements: Option<Vec<Dim>>,
}

/// Tensors that describe shapes are small; larger ones are data.
pub const MAX_TRACKED: usize = 64;

/// `(symbol, maximum, node)`: the model makes sense only while the symbol is at most this, because a table of that many
/// rows is sliced to the symbol's length (position embeddings).
pub type Limit = (Symbol, usize, String);

/// The result of inference.
pub struct Inference {
    /// By value id.
    pub facts: Vec<Option<Fact>>,
    /// What the symbols can be at most.
    pub limits: Vec<Limit>,
}

impl Inference {
    /// The fact of a value.
    pub fn get(&self, value: ValueId) -> Option<&Fact> {
        self.facts.get(value.0 as usize)?.as_ref()
    }

    /// The shape of a value.
    pub fn shape(&self, value: ValueId) -> Option<&[Dim]> {
        Some(&self.get(value)?.shape)
    }
}

/// The symbols of a model's inputs, by name in order of appearance.
pub fn symbols(model: &Model) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for dim in model.inputs.iter().filter_map(|p| p.dims.as_ref()).flatten() {
        if let PortDim::Symbol(name) = dim
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    names
}

/// Infers with every symbol standing for itself.
pub fn symbolic(model: &Model) -> Result<Inference, Error> {
    let symbols: Vec<Dim> = (0..symbols(model).len()).map(|s| Dim::symbol(s as Symbol)).collect();
    infer(model, &symbols)
}

/// Infers with `values[s]` for symbol `s`.
pub fn infer(model: &Model, values: &[Dim]) -> Result<Inference, Error> {
    let mut facts = vec![None; model.value_count as usize];
    let set = |facts: &mut Vec<Option<Fact>>, id: ValueId, fact| {
        if let Some(slot) = facts.get_mut(id.0 as usize) {
            *slot = fact;
        }
    };
    let names = symbols(model);
    for port in &model.inputs {
        set(&mut facts, port.value, port_fact(port, &names, values));
    }
    for (id, tensor) in &model.constants {
        set(&mut facts, *id, Some(constant_fact(tensor)));
    }
    let limits = RefCell::new(Vec::new());
    for node in &model.nodes {
        let outputs = Visit { node, facts: &facts, values, limits: Some(&limits) }.outputs()?;
        if let Some(fact) = outputs.iter().flatten().find(|f| f.shape.iter().any(|d| d.sign() == Some(-1))) {
            return Err(Error::invalid(&node.name, format!("{} is not a shape", show(&fact.shape))));
        }
        for (id, fact) in node.outputs.iter().zip(outputs) {
            set(&mut facts, *id, fact);
        }
    }
    Ok(Inference { facts, limits: limits.into_inner() })
}

fn port_fact(port: &Port, names: &[String], values: &[Dim]) -> Option<Fact> {
    let dim = |d: &PortDim| match d {
        PortDim::Fixed(n) => Some(Dim::from(*n)),
        PortDim::Symbol(name) => values.get(names.iter().position(|n| n == name)?).cloned(),
    };
    let shape = port.dims.as_ref()?.iter().map(dim).collect::<Option<Vec<_>>>()?;
    Some(Fact { dtype: port.dtype.runtime(), shape, elements: None })
}

fn constant_fact(tensor: &Tensor) -> Fact {
    let small = tensor.shape.iter().product::<usize>() <= MAX_TRACKED;
    Fact {
        dtype: tensor.dtype.runtime(),
        shape: tensor.shape.iter().map(|&d| d.into()).collect(),
        elements: if small { tensor.integers().map(|all| all.into_iter().map(Dim::Const).collect()) } else { None },
    }
}

/// The common dimension of two that broadcast, and a limit on a symbol that this implies.
fn broadcast_dim(a: &Dim, b: &Dim) -> Option<(Dim, Option<(Symbol, usize)>)> {
    let sure = |d: &Dim| Some((d.clone(), None));
    match (a, b) {
        _ if a == b => sure(a),
        (Dim::Const(1), other) | (other, Dim::Const(1)) => sure(other),
        (Dim::Const(_), Dim::Const(_)) => None,
        // A symbol that meets a number is that number (or 1).
        (Dim::Const(_), _) => sure(a),
        (_, Dim::Const(_)) => sure(b),
        _ => {
            // `table[:seq] + x` with x of length seq: the slice is as long as asked for, or the input is too long.
            for (clipped, whole) in [(a, b), (b, a)] {
                if let Some((Dim::Const(rows), other)) =
                    clipped.as_min().map(|(x, y)| if x.known().is_some() { (x, y) } else { (y, x) })
                    && other == whole
                {
                    let limit = whole.as_symbol().map(|s| (s, usize::try_from(*rows).unwrap_or(0)));
                    return Some((whole.clone(), limit));
                }
            }
            // Two symbols: they are equal, or the concrete run will say that they are not.
            sure(a)
        }
    }
}

/// Shape of an element-wise operation.
pub fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    broadcast_with_limits(a, b, &mut |_| ())
}

fn broadcast_with_limits(a: &[Dim], b: &[Dim], limit: &mut dyn FnMut((Symbol, usize))) -> Option<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let one = Dim::Const(1);
    let at = |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).map_or(one.clone(), |j| s[j].clone());
    (0..rank)
        .map(|i| {
            let (dim, implied) = broadcast_dim(&at(a, i), &at(b, i))?;
            if let Some(implied) = implied {
                limit(implied);
            }
            Some(dim)
        })
        .collect()
}

/// `axis` counted from the front.
pub fn normalize_axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
    usize::try_from(axis).ok().filter(|&a| a < rank)
}

/// A shape as people write it.
pub fn show(shape: &[Dim]) -> String {
    let dims: Vec<String> = shape.iter().map(|d| d.to_string()).collect();
    format!("[{}]", dims.join(", "))
}

/// One node being looked at.
struct Visit<'a> {
    node: &'a Node,
    facts: &'a [Option<Fact>],
    values: &'a [Dim],
    limits: Option<&'a RefCell<Vec<Limit>>>,
}

/// `Ok(None)`: nothing is known.
type Known<T> = Result<Option<T>, Error>;

/// Unwraps what must be known for anything to be known.
macro_rules! known {
    ($e:expr) => {
        match $e {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}

impl<'a> Visit<'a> {
    /// For looking at a node after inference.
    fn alone(node: &'a Node, inference: &'a Inference) -> Visit<'a> {
        Visit { node, facts: &inference.facts, values: &[], limits: None }
    }

    fn fact(&self, i: usize) -> Option<&'a Fact> {
        self.facts.get((*self.node.inputs.get(i)?)?.0 as usize)?.as_ref()
    }

    fn has(&self, i: usize) -> bool {
        self.node.inputs.get(i).is_some_and(Option::is_some)
    }

    fn elements(&self, i: usize) -> Option<&'a [Dim]> {
        self.fact(i)?.elements.as_deref()
    }

    /// An operand of plain numbers, such as axes.
    fn numbers(&self, i: usize) -> Option<Vec<i64>> {
        self.elements(i)?.iter().map(Dim::known).collect()
    }

    fn invalid<T>(&self, reason: impl Into<String>) -> Result<T, Error> {
        Err(Error::invalid(&self.node.name, reason))
    }

    fn axis(&self, axis: i64, rank: usize) -> Result<usize, Error> {
        match normalize_axis(axis, rank) {
            Some(axis) => Ok(axis),
            None => self.invalid(format!("axis {axis} does not exist in a tensor of rank {rank}")),
        }
    }

    fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, Error> {
        axes.iter().map(|&a| self.axis(a, rank)).collect()
    }

    fn broadcast(&self, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, Error> {
        let limit = &mut |(s, max)| {
            if let Some(limits) = self.limits {
                limits.borrow_mut().push((s, max, self.node.name.clone()));
            }
        };
        match broadcast_with_limits(a, b, limit) {
            Some(shape) => Ok(shape),
            None => self.invalid(format!("shapes {} and {} do not match", show(a), show(b))),
        }
    }

    fn outputs(&self) -> Result<Vec<Option<Fact>>, Error> {
        match &self.node.op {
            Op::Split { axis } => self.split(*axis),
            Op::DynamicQuantizeLinear => {
                let scalar = |dtype| Some(Fact { dtype, shape: Vec::new(), elements: None });
                let quantized = |x: &Fact| Fact { dtype: DType::U8, shape: x.shape.clone(), elements: None };
                Ok(vec![self.fact(0).map(quantized), scalar(DType::F32), scalar(DType::U8)])
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
            Op::QuantizeLinear { .. } => (self.fact(2).map_or(DType::U8, |z| z.dtype), x.shape),
            Op::DequantizeLinear { .. } => (DType::F32, x.shape),
            Op::Linear { trans_b, .. } => {
                let weight = known!(self.fact(1)).shape.clone();
                (x.dtype, self.linear(&x.shape, &weight, *trans_b)?)
            }
            Op::LinearInt8 { .. } => {
                let weight = known!(self.fact(3)).shape.clone();
                (DType::F32, self.linear(&x.shape, &weight, false)?)
            }
            Op::Dims(_) | Op::ConstantOfShape { .. } | Op::Split { .. } | Op::DynamicQuantizeLinear => return Ok(None),
        };
        Ok(Some(result))
    }

    fn same_k(&self, a: &Dim, b: &Dim, left: &[Dim], right: &[Dim]) -> Result<(), Error> {
        match (a.known(), b.known()) {
            (Some(a), Some(b)) if a != b => {
                self.invalid(format!("shapes {} and {} do not match", show(left), show(right)))
            }
            _ => Ok(()),
        }
    }

    fn matmul(&self, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, Error> {
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

    fn linear(&self, x: &[Dim], weight: &[Dim], trans_b: bool) -> Result<Vec<Dim>, Error> {
        let (Some((k, rows)), [first, second]) = (x.split_last(), weight) else {
            return self.invalid("a linear layer wants rows and a matrix");
        };
        let (weight_k, n) = if trans_b { (second, first) } else { (first, second) };
        self.same_k(k, weight_k, x, weight)?;
        Ok([rows, std::slice::from_ref(n)].concat())
    }

    fn reshape(&self, from: &[Dim], target: &[Dim], allow_zero: bool) -> Result<Vec<Dim>, Error> {
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

    fn reduced(&self, rank: usize) -> Known<Vec<usize>> {
        let mut axes = match self.has(1) {
            true => self.axes(&known!(self.numbers(1)), rank)?,
            false => Vec::new(),
        };
        if axes.is_empty() && !matches!(self.node.op, Op::Reduce { noop_with_empty_axes: true, .. }) {
            axes = (0..rank).collect();
        }
        axes.sort_unstable();
        axes.dedup();
        Ok(Some(axes))
    }

    fn pads(&self, rank: usize) -> Known<(Vec<usize>, Vec<Dim>)> {
        let pads = known!(self.elements(1)).to_vec();
        let axes = match self.has(3) {
            true => self.axes(&known!(self.numbers(3)), rank)?,
            false => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return self.invalid("two pads for each axis are wanted");
        }
        Ok(Some((axes, pads)))
    }

    fn range_length(&self) -> Known<Dim> {
        let scalar = |i| self.elements(i).and_then(|e| e.first());
        let (start, limit, delta) = (known!(scalar(0)), known!(scalar(1)), known!(scalar(2)));
        let delta = known!(delta.known());
        if delta == 0 {
            return self.invalid("a range with step 0");
        }
        let span = if delta > 0 { limit.sub(start) } else { start.sub(limit) };
        Ok(Some(steps(&span, delta.saturating_abs())))
    }

    fn slices(&self, shape: &[Dim]) -> Known<Vec<SliceAxis>> {
        let (starts, ends) = (known!(self.elements(1)), known!(self.elements(2)));
        let axes = match self.has(3) {
            true => known!(self.numbers(3)),
            false => (0..starts.len() as i64).collect(),
        };
        let steps = match self.has(4) {
            true => known!(self.numbers(4)),
            false => vec![1; starts.len()],
        };
        if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
            return self.invalid("starts, ends, axes and steps differ in length");
        }
        let axes = self.axes(&axes, shape.len())?;
        let mut slices = Vec::new();
        for (i, &axis) in axes.iter().enumerate() {
            match slice_axis(&shape[axis], &starts[i], &ends[i], steps[i]) {
                Some((start, length)) => slices.push(SliceAxis { axis, start, length, step: steps[i] }),
                None => return self.invalid("a slice with step 0"),
            }
        }
        Ok(Some(slices))
    }

    fn split(&self, axis: i64) -> Result<Vec<Option<Fact>>, Error> {
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

    /// Elements of the first output, where they follow from those of the inputs.
    fn output_elements(&self, shape: &[Dim]) -> Option<Vec<Dim>> {
        let sizes = shape.iter().map(|d| usize::try_from(d.known()?).ok()).collect::<Option<Vec<_>>>()?;
        let count = sizes.iter().try_fold(1usize, |p, &d| p.checked_mul(d)).filter(|&n| n <= MAX_TRACKED)?;
        let flag = |b: bool| Dim::Const(b.into());
        match &self.node.op {
            Op::Dims(dims) => dims.iter().map(|d| d.evaluate(&|s| self.values.get(s as usize).cloned())).collect(),
            Op::Shape { start, end } => {
                let x = &self.fact(0)?.shape;
                let (start, end) = shape_range(*start, *end, x.len());
                Some(x[start..end].to_vec())
            }
            Op::Reshape { .. } | Op::Unsqueeze | Op::Squeeze | Op::Flatten { .. } => {
                self.elements(0).map(<[Dim]>::to_vec)
            }
            Op::ConstantOfShape { value } => Some(vec![Dim::Const(*value.integers()?.first()?); count]),
            Op::Cast(DType::Bool) => self.elements(0)?.iter().map(|d| d.sign().map(|s| flag(s != 0))).collect(),
            Op::Cast(DType::I64 | DType::I32) => self.elements(0).map(<[Dim]>::to_vec),
            Op::Unary(Unary::Neg) => Some(self.elements(0)?.iter().map(|d| d.mul(&Dim::Const(-1))).collect()),
            Op::Unary(Unary::Abs) => {
                self.elements(0)?.iter().map(|d| Some(d.mul(&Dim::Const(d.sign()?.into())))).collect()
            }
            Op::Unary(Unary::Not) => self.elements(0)?.iter().map(|d| Some(flag(d.known()? == 0))).collect(),
            Op::Binary(op) => {
                let (a, b) = (self.spread(0, &sizes)?, self.spread(1, &sizes)?);
                a.iter().zip(&b).map(|(a, b)| binary_element(*op, a, b)).collect()
            }
            Op::Where => {
                let (c, x, y) = (self.spread(0, &sizes)?, self.spread(1, &sizes)?, self.spread(2, &sizes)?);
                (0..count).map(|i| Some(if c[i].known()? != 0 { &x[i] } else { &y[i] }.clone())).collect()
            }
            Op::Expand => self.spread(0, &sizes),
            Op::Concat { .. } if shape.len() == 1 => {
                let parts = (0..self.node.inputs.len()).map(|i| self.elements(i)).collect::<Option<Vec<_>>>()?;
                Some(parts.concat())
            }
            Op::Gather { .. } if self.fact(0)?.shape.len() == 1 => {
                let x = self.elements(0)?;
                let pick = |i: i64| x.get(normalize_axis(i, x.len())?).cloned();
                self.numbers(1)?.into_iter().map(pick).collect()
            }
            Op::Slice if shape.len() == 1 => {
                let x = self.elements(0)?;
                let slices = self.slices(&[x.len().into()]).ok()??;
                let [s] = slices.as_slice() else { return None };
                let start = s.start.known()?;
                (0..count as i64).map(|i| x.get(usize::try_from(start + i * s.step).ok()?).cloned()).collect()
            }
            Op::Range => {
                let (start, delta) = (self.elements(0)?.first()?, self.elements(2)?.first()?);
                Some((0..count as i64).map(|i| start.add(&delta.mul(&Dim::Const(i)))).collect())
            }
            _ => None,
        }
    }

    /// The elements of an operand broadcast to `sizes`.
    fn spread(&self, i: usize, sizes: &[usize]) -> Option<Vec<Dim>> {
        let fact = self.fact(i)?;
        let elements = fact.elements.as_ref()?;
        let own = fact.shape.iter().map(|d| d.known().map(|n| n as usize)).collect::<Option<Vec<_>>>()?;
        let lead = sizes.len().checked_sub(own.len())?;
        (0..sizes.iter().product())
            .map(|flat| {
                let (mut rest, mut index, mut stride) = (flat, 0, 1);
                for axis in (0..sizes.len()).rev() {
                    let at = rest % sizes[axis];
                    rest /= sizes[axis];
                    if axis >= lead {
                        let n = own[axis - lead];
                        index += if n == 1 { 0 } else { at * stride };
                        stride *= n;
                    }
                }
                elements.get(index).cloned()
            })
            .collect()
    }
}

/// One sliced axis, resolved against its dimension.
#[derive(Debug)]
pub(crate) struct SliceAxis {
    pub axis: usize,
    pub start: Dim,
    pub length: Dim,
    pub step: i64,
}

/// Start and length of `start:end:step` on an axis of size `dim`; `None` for a step of 0.
fn slice_axis(dim: &Dim, start: &Dim, end: &Dim, step: i64) -> Option<(Dim, Dim)> {
    let (zero, one) = (Dim::Const(0), Dim::Const(1));
    let from_end = |d: &Dim| match d.sign() {
        // "Before the beginning" is written as a hugely negative number.
        Some(-1) if d.known().is_some_and(|c| c <= i64::from(i32::MIN)) => Dim::Const(-1),
        Some(-1) => d.add(dim),
        _ => d.clone(),
    };
    let (start, end) = (from_end(start), from_end(end));
    let (start, span) = match step {
        0 => return None,
        1.. => {
            let start = start.larger(&zero).smaller(dim);
            let end = end.larger(&zero).smaller(dim);
            (start.clone(), end.sub(&start))
        }
        _ => {
            let start = start.smaller(&dim.sub(&one));
            (start.clone(), start.sub(&end.larger(&Dim::Const(-1))))
        }
    };
    Some((start, steps(&span, step.saturating_abs())))
}

/// How many steps of a positive size start within `span`.
fn steps(span: &Dim, step: i64) -> Dim {
    let span = span.larger(&Dim::Const(0));
    match span.known() {
        Some(0) => span,
        Some(n) => Dim::Const((n - 1) / step.max(1) + 1),
        None => {
            let step = Dim::Const(step);
            span.add(&step).sub(&Dim::Const(1)).div(&step).unwrap_or(span)
        }
    }
}

/// `start` and `end` of a `Shape` node, clamped to the rank.
fn shape_range(start: i64, end: i64, rank: usize) -> (usize, usize) {
    let clamp = |i: i64| if i < 0 { i.saturating_add(rank as i64) } else { i }.clamp(0, rank as i64) as usize;
    let (start, end) = (clamp(start), clamp(end));
    (start, end.max(start))
}

fn binary_element(op: Binary, a: &Dim, b: &Dim) -> Option<Dim> {
    let difference = a.sub(b);
    let decide = |test: fn(i32) -> bool| difference.sign().map(|s| Dim::Const(test(s).into()));
    Some(match op {
        Binary::Add => a.add(b),
        Binary::Sub => difference,
        Binary::Mul => a.mul(b),
        Binary::Div => a.div(b)?,
        Binary::Min => a.smaller(b),
        Binary::Max => a.larger(b),
        Binary::Pow => return None,
        Binary::And => a.mul(b),
        Binary::Or => a.larger(b),
        Binary::Equal => return decide(|s| s == 0),
        Binary::Less => return decide(|s| s < 0),
        Binary::LessOrEqual => return decide(|s| s <= 0),
        Binary::Greater => return decide(|s| s > 0),
        Binary::GreaterOrEqual => return decide(|s| s >= 0),
    })
}

/// The lowest element that a `Slice` of concrete shape reads, then the stride of each axis, in elements.
pub(crate) fn strides_of_slice(node: &Node, inference: &Inference) -> Known<Vec<i64>> {
    let visit = Visit::alone(node, inference);
    let x = known!(visit.fact(0));
    let sizes = known!(x.shape.iter().map(Dim::known).collect::<Option<Vec<_>>>());
    let mut numbers = vec![0; sizes.len() + 1];
    let mut stride = 1i64;
    for (axis, size) in sizes.iter().enumerate().rev() {
        numbers[axis + 1] = stride;
        stride = stride.wrapping_mul(*size);
    }
    for s in known!(visit.slices(&x.shape)?) {
        numbers[0] += known!(s.start.known()) * numbers[s.axis + 1];
        // A single element has no stride; huge steps are how exporters say so.
        numbers[s.axis + 1] = if s.length.is(1) { 0 } else { numbers[s.axis + 1].wrapping_mul(s.step) };
        if s.step < 0 {
            numbers[0] += (known!(s.length.known()) - 1) * numbers[s.axis + 1];
        }
    }
    Ok(Some(numbers))
}

/// The pad before each axis of a `Pad` of concrete shape.
pub(crate) fn leading_pads(node: &Node, inference: &Inference) -> Known<Vec<i64>> {
    let visit = Visit::alone(node, inference);
    let rank = known!(visit.fact(0)).shape.len();
    let (axes, pads) = known!(visit.pads(rank)?);
    let mut leading = vec![0; rank];
    for (axis, pad) in axes.into_iter().zip(pads) {
        leading[axis] = known!(pad.known());
    }
    Ok(Some(leading))
}

/// The axes of a `Reduce`, sorted.
pub(crate) fn reduced_axes(node: &Node, inference: &Inference) -> Known<Vec<i64>> {
    let visit = Visit::alone(node, inference);
    let rank = known!(visit.fact(0)).shape.len();
    Ok(visit.reduced(rank)?.map(|axes| axes.into_iter().map(|a| a as i64).collect()))
}
