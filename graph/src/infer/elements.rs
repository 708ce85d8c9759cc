//! The elements of small integer tensors: how exporters compute with shapes.

use super::operands::{Visit, shape_range};
use super::{MAX_TRACKED, normalize_axis};
use crate::dim::{Dim, known_sizes};
use crate::ir::{Binary, DType, Op, Unary};

impl Visit<'_> {
    /// Elements of the first output, where they follow from those of the inputs.
    pub(super) fn output_elements(&self, shape: &[Dim]) -> Option<Vec<Dim>> {
        let sizes = known_sizes(shape)?;
        let count = sizes.iter().try_fold(1usize, |p, &d| p.checked_mul(d)).filter(|&n| n <= MAX_TRACKED)?;
        let mut elements = Vec::new();
        for i in 0..count {
            elements.push(self.output_element(i, &sizes)?);
        }
        Some(elements)
    }

    /// Element `i` of the first output, of this shape.
    fn output_element(&self, i: usize, sizes: &[usize]) -> Option<Dim> {
        let flag = |b: bool| Some(Dim::Const(b.into()));
        let at = |operand: usize| self.spread(operand, i, sizes);
        match &self.node.op {
            Op::Dims(dims) => dims.get(i)?.evaluate(&|s| self.values.get(s as usize).cloned()),
            Op::Shape { start, end } => {
                let x = &self.fact(0)?.shape;
                x.get(shape_range(*start, *end, x.len()).0 + i).cloned()
            }
            Op::Reshape { .. } | Op::Unsqueeze | Op::Squeeze | Op::Flatten { .. } => self.element(0, i),
            Op::Cast(DType::Bool) => flag(self.element(0, i)?.sign()? != 0),
            Op::Cast(DType::I64 | DType::I32) => self.element(0, i),
            Op::Unary(Unary::Neg) => Some(self.element(0, i)?.mul(&Dim::Const(-1))),
            Op::Unary(Unary::Abs) => {
                let x = self.element(0, i)?;
                Some(x.mul(&Dim::Const(x.sign()?.into())))
            }
            Op::Unary(Unary::Not) => flag(self.element(0, i)?.known()? == 0),
            Op::Binary(op) => binary_element(*op, &at(0)?, &at(1)?),
            Op::Where => at(if at(0)?.known()? != 0 { 1 } else { 2 }),
            Op::If => self.element(if self.element(0, 0)?.known()? != 0 { 1 } else { 2 }, i),
            Op::Expand => at(0),
            Op::Concat { .. } if sizes.len() == 1 => {
                let mut i = i;
                for part in 0..self.node.inputs.len() {
                    let elements = self.elements(part)?;
                    match elements.get(i) {
                        Some(element) => return Some(element.clone()),
                        None => i -= elements.len(),
                    }
                }
                None
            }
            Op::Gather { .. } if self.fact(0)?.shape.len() == 1 => {
                let x = self.elements(0)?;
                self.element(0, normalize_axis(self.element(1, i)?.known()?, x.len())?)
            }
            Op::Slice if sizes.len() == 1 => {
                let x = self.elements(0)?;
                let slices = self.slices(&[x.len().into()]).ok()??;
                let [s] = slices.as_slice() else { return None };
                self.element(0, usize::try_from(s.start.known()? + i as i64 * s.step).ok()?)
            }
            Op::Range => Some(self.element(0, 0)?.add(&self.element(2, 0)?.mul(&Dim::Const(i as i64)))),
            _ => None,
        }
    }

    fn element(&self, operand: usize, i: usize) -> Option<Dim> {
        self.elements(operand)?.get(i).cloned()
    }

    /// What element `flat` of a tensor of shape `sizes` is of an operand that broadcasts to it.
    fn spread(&self, operand: usize, flat: usize, sizes: &[usize]) -> Option<Dim> {
        let own = known_sizes(&self.fact(operand)?.shape)?;
        let lead = sizes.len().checked_sub(own.len())?;
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
        self.element(operand, index)
    }
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
