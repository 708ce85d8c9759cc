//! The elements of small integer tensors: how exporters compute with shapes.

use super::operands::{Visit, shape_range};
use super::{MAX_TRACKED, normalize_axis};
use crate::dim::Dim;
use crate::ir::{Binary, DType, Op, Unary};

impl Visit<'_> {
    /// Elements of the first output, where they follow from those of the inputs.
    pub(super) fn output_elements(&self, shape: &[Dim]) -> Option<Vec<Dim>> {
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
            Op::If => {
                let taken = if self.elements(0)?.first()?.known()? != 0 { 1 } else { 2 };
                self.elements(taken).map(<[Dim]>::to_vec)
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
