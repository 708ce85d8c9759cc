//! One node being looked at, and the operands of it that describe shapes: axes, pads, slices.

use super::broadcast::broadcast_with_limits;
use super::{Fact, Inference, Limit, normalize_axis, show};
use crate::dim::{self, Dim};
use crate::error::{Error, Failure};
use crate::ir::{Node, Op};
use std::cell::RefCell;

/// One node being looked at.
pub(super) struct Visit<'a> {
    pub(super) node: &'a Node,
    pub(super) facts: &'a [Option<Fact>],
    pub(super) values: &'a [Dim],
    pub(super) limits: Option<&'a RefCell<Vec<Limit>>>,
}

/// `Ok(None)`: nothing is known.
pub(super) type Known<T> = Result<Option<T>, Failure>;

/// Unwraps what must be known for anything to be known.
macro_rules! known {
    ($e:expr) => {
        match $e {
            Some(value) => value,
            None => return Ok(None),
        }
    };
}
pub(super) use known;

impl<'a> Visit<'a> {
    /// For looking at a node after inference.
    pub(super) fn alone(node: &'a Node, inference: &'a Inference) -> Visit<'a> {
        Visit { node, facts: &inference.facts, values: &[], limits: None }
    }

    pub(super) fn fact(&self, i: usize) -> Option<&'a Fact> {
        self.facts.get((*self.node.inputs.get(i)?)?.index())?.as_ref()
    }

    pub(super) fn has(&self, i: usize) -> bool {
        self.node.inputs.get(i).is_some_and(Option::is_some)
    }

    pub(super) fn elements(&self, i: usize) -> Option<&'a [Dim]> {
        self.fact(i)?.elements.as_deref()
    }

    /// An operand of plain numbers, such as axes.
    pub(super) fn numbers(&self, i: usize) -> Option<Vec<i64>> {
        dim::known(self.elements(i)?)
    }

    pub(super) fn invalid<T>(&self, reason: impl Into<String>) -> Result<T, Failure> {
        Err(Error::invalid(&self.node.name, reason))
    }

    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Failure> {
        match normalize_axis(axis, rank) {
            Some(axis) => Ok(axis),
            None => self.invalid(format!("axis {axis} does not exist in a tensor of rank {rank}")),
        }
    }

    pub(super) fn axes(&self, axes: &[i64], rank: usize) -> Result<Vec<usize>, Failure> {
        let mut found = Vec::with_capacity(axes.len());
        for &axis in axes {
            found.push(self.axis(axis, rank)?);
        }
        Ok(found)
    }

    pub(super) fn broadcast(&self, a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, Failure> {
        let limit = &mut |(s, max)| {
            if let Some(limits) = self.limits {
                limits.borrow_mut().push((s, max, self.node.name.clone()));
            }
        };
        match broadcast_with_limits(a, b, limit) {
            Some(shape) => Ok(shape),
            None => self.mismatch(a, b),
        }
    }

    pub(super) fn mismatch<T>(&self, a: &[Dim], b: &[Dim]) -> Result<T, Failure> {
        self.invalid(format!("shapes {} and {} do not match", show(a), show(b)))
    }

    /// The axes of a reduction, in order.
    pub(super) fn reduced(&self, rank: usize) -> Known<Vec<i64>> {
        let axes = match self.has(1) {
            true => self.axes(&known!(self.numbers(1)), rank)?,
            false => Vec::new(),
        };
        let all = axes.is_empty() && !matches!(self.node.op, Op::Reduce { noop_with_empty_axes: true, .. });
        let mut reduced = Vec::with_capacity(rank);
        for axis in 0..rank {
            if all || axes.contains(&axis) {
                reduced.push(axis as i64);
            }
        }
        Ok(Some(reduced))
    }

    pub(super) fn pads(&self, rank: usize) -> Known<(Vec<usize>, Vec<Dim>)> {
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

    pub(super) fn range_length(&self) -> Known<Dim> {
        let scalar = |i| self.elements(i).and_then(|e| e.first());
        let (start, limit, delta) = (known!(scalar(0)), known!(scalar(1)), known!(scalar(2)));
        let delta = known!(delta.known());
        if delta == 0 {
            return self.invalid("a range with step 0");
        }
        let span = if delta > 0 { limit.sub(start) } else { start.sub(limit) };
        Ok(Some(steps(&span, delta.saturating_abs())))
    }

    pub(super) fn slices(&self, shape: &[Dim]) -> Known<Vec<SliceAxis>> {
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
pub(super) fn shape_range(start: i64, end: i64, rank: usize) -> (usize, usize) {
    let clamp = |i: i64| if i < 0 { i.saturating_add(rank as i64) } else { i }.clamp(0, rank as i64) as usize;
    let (start, end) = (clamp(start), clamp(end));
    (start, end.max(start))
}

/// The lowest element that a `Slice` of concrete shape reads, then the stride of each axis, in elements.
pub(crate) fn strides_of_slice(node: &Node, inference: &Inference) -> Known<Vec<i64>> {
    let visit = Visit::alone(node, inference);
    let x = known!(visit.fact(0));
    let sizes = known!(dim::known(&x.shape));
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
    visit.reduced(rank)
}
