//! The many spellings of GELU become one operator: exact (`erf`) and approximate (`tanh`).
//!
//! Whatever the order of its multiplications, GELU is a product of x, one half, and `1 + erf(x / sqrt 2)` or
//! `1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))`. So a product is taken apart into factors, and these are compared.

use super::rewrite::{Draft, Fresh, Matcher, is_close, rewrite};
use crate::error::Failure;
use crate::ir::{Binary, Node, Op, Unary, ValueId};
use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

/// Fuses GELUs.
pub fn run(model: &mut Draft) -> Result<usize, Failure> {
    rewrite(model, gelu)
}

/// `scale` times values.
struct Product {
    scale: f32,
    values: Vec<ValueId>,
}

/// Takes a product apart, down to `stop`.
fn product(m: &Matcher, value: ValueId, stop: Option<ValueId>, depth: usize) -> Product {
    let whole = || Product { scale: 1.0, values: vec![value] };
    if Some(value) == stop || depth == 0 {
        return whole();
    }
    if let Some(scale) = m.scalar(value) {
        return Product { scale, values: Vec::new() };
    }
    if let Some((x, c)) = m.scaled(value) {
        let inner = product(m, x, stop, depth - 1);
        return Product { scale: inner.scale * c, ..inner };
    }
    match m.binary(value, Binary::Mul) {
        Some((a, b)) => {
            let (mut a, b) = (product(m, a, stop, depth - 1), product(m, b, stop, depth - 1));
            a.values.extend(b.values);
            Product { scale: a.scale * b.scale, values: a.values }
        }
        None => whole(),
    }
}

const DEPTH: usize = 4;

/// The half float, and the brain float, that is next to the square root of 2. The difference shows: 3e-5 in a result.
const ROOT_OF_HALF: f32 = 1.414_062_5;

fn gelu(m: &Matcher, node: &Node, fresh: &mut Fresh) -> Option<()> {
    if node.op != Op::Binary(Binary::Mul) {
        return None;
    }
    let output = *node.outputs.first()?;
    let all = product(m, output, None, DEPTH);
    let (gate, x, op) = all.values.iter().find_map(|&gate| {
        let (inner, one) = m.shifted(gate)?;
        let function = m.producer(inner).filter(|_| is_close(one, 1.0))?;
        let argument = function.input(0)?;
        match function.op {
            Op::Unary(Unary::Erf) => {
                let (x, scale) = m.scaled(argument)?;
                let op = if scale == 1.0 / ROOT_OF_HALF { Unary::GeluHalf } else { Unary::Gelu };
                is_close(scale, FRAC_1_SQRT_2).then_some((gate, x, op))
            }
            Op::Unary(Unary::Tanh) => tanh_argument(m, argument).map(|x| (gate, x, Unary::GeluTanh)),
            _ => None,
        }
    })?;
    // x may be a product itself, so the factors are taken again, down to x only.
    let all = product(m, output, Some(x), DEPTH);
    if (all.values != [x, gate] && all.values != [gate, x]) || !is_close(all.scale, 0.5) {
        return None;
    }
    fresh.finish(Op::Unary(op), &[x], output, &node.name);
    Some(())
}

const SQRT_2_OVER_PI: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
const CUBIC: f32 = 0.044715;

/// x, if `value` is `sqrt(2 / pi) (x + 0.044715 x^3)` or `x (sqrt(2 / pi) + sqrt(2 / pi) 0.044715 x^2)`.
fn tanh_argument(m: &Matcher, value: ValueId) -> Option<ValueId> {
    if let Some((sum, scale)) = m.scaled(value)
        && is_close(scale, SQRT_2_OVER_PI)
    {
        let (a, b) = m.binary(sum, Binary::Add)?;
        return [(a, b), (b, a)].into_iter().find_map(|(x, cube)| is_power(m, cube, x, 3, CUBIC).then_some(x));
    }
    let (a, b) = m.binary(value, Binary::Mul)?;
    [(a, b), (b, a)].into_iter().find_map(|(x, sum)| {
        let (square, scale) = m.shifted(sum)?;
        (is_close(scale, SQRT_2_OVER_PI) && is_power(m, square, x, 2, SQRT_2_OVER_PI * CUBIC)).then_some(x)
    })
}

/// Whether `value` is `scale * x^power`.
fn is_power(m: &Matcher, value: ValueId, x: ValueId, power: usize, scale: f32) -> bool {
    let factors = product(m, value, Some(x), DEPTH);
    let exponent = |&v: &ValueId| match m.binary(v, Binary::Pow) {
        Some((base, e)) if base == x => m.scalar(e),
        _ => (v == x).then_some(1.0),
    };
    let total = factors.values.iter().try_fold(0.0, |sum, v| Some(sum + exponent(v)?));
    is_close(factors.scale, scale) && total.is_some_and(|t| is_close(t, power as f32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::DType;
    use crate::testing::{Builder, assert_passes_keep_meaning, optimized};

    fn mul(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
        b.node(Op::Binary(Binary::Mul), &[x, y])
    }

    fn times(b: &mut Builder, c: f32, x: ValueId) -> ValueId {
        let c = b.scalar(c);
        mul(b, c, x)
    }

    fn one_plus(b: &mut Builder, x: ValueId) -> ValueId {
        let one = b.scalar(1.0);
        b.node(Op::Binary(Binary::Add), &[x, one])
    }

    fn gate(b: &mut Builder, x: ValueId) -> ValueId {
        let root = b.scalar(2f32.sqrt());
        let scaled = b.node(Op::Binary(Binary::Div), &[x, root]);
        let erf = b.node(Op::Unary(Unary::Erf), &[scaled]);
        one_plus(b, erf)
    }

    fn check(build: impl Fn(&mut Builder, ValueId) -> ValueId, wanted: &[&str]) {
        let mut b = Builder::default();
        let x = b.input("x", DType::F32, &["rows", "4"]);
        let y = build(&mut b, x);
        let model = b.output(y);
        assert_eq!(optimized(&model), wanted);
        assert_passes_keep_meaning(&model, &[&[5, 4]]);
    }

    #[test]
    fn every_order_of_the_product() {
        check(
            |b, x| {
                let g = gate(b, x);
                let y = mul(b, x, g);
                times(b, 0.5, y)
            },
            &["Gelu"],
        );
        check(
            |b, x| {
                let g = gate(b, x);
                let g = times(b, 0.5, g);
                mul(b, x, g)
            },
            &["Gelu"],
        );
        check(
            |b, x| {
                let g = gate(b, x);
                let h = times(b, 0.5, x);
                mul(b, g, h)
            },
            &["Gelu"],
        );
    }

    #[test]
    fn with_the_root_of_half_floats() {
        check(
            |b, x| {
                let root = b.scalar(1.414_062_5);
                let scaled = b.node(Op::Binary(Binary::Div), &[x, root]);
                let erf = b.node(Op::Unary(Unary::Erf), &[scaled]);
                let g = one_plus(b, erf);
                let h = times(b, 0.5, x);
                mul(b, g, h)
            },
            &["GeluHalf"],
        );
    }

    #[test]
    fn of_a_product() {
        check(
            |b, x| {
                let square = mul(b, x, x);
                let g = gate(b, square);
                let y = mul(b, square, g);
                times(b, 0.5, y)
            },
            &["Mul", "Gelu"],
        );
    }

    #[test]
    fn approximate() {
        check(
            |b, x| {
                let three = b.scalar(3.0);
                let cube = b.node(Op::Binary(Binary::Pow), &[x, three]);
                let cube = times(b, CUBIC, cube);
                let sum = b.node(Op::Binary(Binary::Add), &[x, cube]);
                let scaled = times(b, SQRT_2_OVER_PI, sum);
                let tanh = b.node(Op::Unary(Unary::Tanh), &[scaled]);
                let g = one_plus(b, tanh);
                let half = times(b, 0.5, x);
                mul(b, half, g)
            },
            &["GeluTanh"],
        );
    }

    #[test]
    fn another_factor_is_not_gelu() {
        check(
            |b, x| {
                let g = gate(b, x);
                let y = mul(b, x, g);
                times(b, 0.4, y)
            },
            &["Div", "Erf", "Add", "Mul", "Mul"],
        );
    }
}
