//! Dimensions that may depend on the input: integer polynomials over symbols such as `batch` and `sequence`.
//!
//! Exporters compute shapes with operators (`Shape -> Gather -> Unsqueeze -> Concat -> Reshape`), so the elements of
//! such tensors are tracked as [`Dim`]s too. One type serves both uses: a dimension is one that is never negative.
//! Polynomials in a normal form make equality structural, which is all that the passes need; what is not a
//! polynomial (`min`, a division with remainder) becomes an atom of its own.

use std::fmt;
use std::sync::Arc;

/// Index of a symbol, in the order in which a model's inputs mention them.
pub type Symbol = u32;

/// What a polynomial is made of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Atom {
    /// A dimension of an input: at least 1.
    Symbol(Symbol),
    /// The smaller of two.
    Min(Box<(Dim, Dim)>),
    /// The larger of two.
    Max(Box<(Dim, Dim)>),
    /// Quotient rounded down.
    Div(Box<(Dim, Dim)>),
}

/// `coefficient * atom * atom * ...`; atoms are sorted.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Term {
    atoms: Vec<Atom>,
    coefficient: i64,
}

/// An integer, known or symbolic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// Known.
    Const(i64),
    /// Sum of terms, sorted by atoms; never a single constant. Shared: shapes are copied far more often than computed.
    Poly(Arc<[Term]>),
}

impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::Const(n as i64)
    }
}

impl Dim {
    /// A symbol.
    pub fn symbol(symbol: Symbol) -> Dim {
        Dim::atom(Atom::Symbol(symbol))
    }

    fn atom(atom: Atom) -> Dim {
        Dim::Poly([Term { atoms: vec![atom], coefficient: 1 }].into())
    }

    fn from_terms(terms: Vec<Term>) -> Dim {
        let mut sum: Vec<Term> = Vec::with_capacity(terms.len());
        for term in terms {
            let at = sum.partition_point(|t| t.atoms < term.atoms);
            match sum.get_mut(at) {
                Some(same) if same.atoms == term.atoms => {
                    same.coefficient = same.coefficient.wrapping_add(term.coefficient);
                    if same.coefficient == 0 {
                        sum.remove(at);
                    }
                }
                _ if term.coefficient == 0 => {}
                _ => sum.insert(at, term),
            }
        }
        match sum.as_slice() {
            [] => Dim::Const(0),
            [one] if one.atoms.is_empty() => Dim::Const(one.coefficient),
            _ => Dim::Poly(sum.into()),
        }
    }

    fn terms(&self) -> Vec<Term> {
        match self {
            Dim::Const(c) => vec![Term { atoms: Vec::new(), coefficient: *c }],
            Dim::Poly(terms) => terms.to_vec(),
        }
    }

    /// The value, if known.
    pub fn known(&self) -> Option<i64> {
        match self {
            Dim::Const(c) => Some(*c),
            Dim::Poly(_) => None,
        }
    }

    /// The value, if it is this one.
    pub fn is(&self, value: i64) -> bool {
        *self == Dim::Const(value)
    }

    /// Sum.
    pub fn add(&self, other: &Dim) -> Dim {
        if let (Dim::Const(a), Dim::Const(b)) = (self, other) {
            return Dim::Const(a.wrapping_add(*b));
        }
        let mut terms = self.terms();
        terms.extend(other.terms());
        Dim::from_terms(terms)
    }

    /// Difference.
    pub fn sub(&self, other: &Dim) -> Dim {
        self.add(&other.mul(&Dim::Const(-1)))
    }

    /// Product.
    pub fn mul(&self, other: &Dim) -> Dim {
        if let (Dim::Const(a), Dim::Const(b)) = (self, other) {
            return Dim::Const(a.wrapping_mul(*b));
        }
        let right = other.terms();
        let mut terms = Vec::new();
        for a in self.terms() {
            for b in &right {
                let mut atoms = a.atoms.clone();
                for atom in &b.atoms {
                    atoms.insert(atoms.partition_point(|other| other < atom), atom.clone());
                }
                terms.push(Term { atoms, coefficient: a.coefficient.wrapping_mul(b.coefficient) });
            }
        }
        Dim::from_terms(terms)
    }

    /// Quotient, if `other` is a single term that divides every term.
    pub fn div_exact(&self, other: &Dim) -> Option<Dim> {
        if self == other {
            return if other.is(0) { None } else { Some(Dim::Const(1)) };
        }
        let divisor = match other.terms().as_slice() {
            [one] if one.coefficient != 0 => one.clone(),
            _ => return None,
        };
        let mut terms = Vec::new();
        for mut term in self.terms() {
            if term.coefficient.checked_rem(divisor.coefficient)? != 0 {
                return None;
            }
            term.coefficient /= divisor.coefficient;
            for atom in &divisor.atoms {
                let at = term.atoms.iter().position(|a| a == atom)?;
                term.atoms.remove(at);
            }
            terms.push(term);
        }
        Some(Dim::from_terms(terms))
    }

    /// Quotient rounded towards zero (operands are never negative in practice); `None` when dividing by zero.
    pub fn div(&self, other: &Dim) -> Option<Dim> {
        match (self, other) {
            (_, Dim::Const(0)) => None,
            (Dim::Const(a), Dim::Const(b)) => a.checked_div(*b).map(Dim::Const),
            _ => Some(
                self.div_exact(other).unwrap_or_else(|| Dim::atom(Atom::Div(Box::new((self.clone(), other.clone()))))),
            ),
        }
    }

    /// The smaller.
    pub fn smaller(&self, other: &Dim) -> Dim {
        // "Up to the end" is written as a huge number by every exporter.
        let endless = |d: &Dim| d.known().is_some_and(|c| c >= i64::from(i32::MAX));
        if endless(self) || endless(other) {
            return if endless(self) { other } else { self }.clone();
        }
        match self.is_at_most(other) {
            Some(smaller) => if smaller { self } else { other }.clone(),
            None => Dim::atom(Atom::Min(Box::new(ordered(self, other)))),
        }
    }

    /// The larger.
    pub fn larger(&self, other: &Dim) -> Dim {
        match self.is_at_most(other) {
            Some(smaller) => if smaller { other } else { self }.clone(),
            None => Dim::atom(Atom::Max(Box::new(ordered(self, other)))),
        }
    }

    /// Whether it is never more than `other`, or (`false`) never less; `None` if that depends on the symbols.
    fn is_at_most(&self, other: &Dim) -> Option<bool> {
        let never_negative = |d: Dim| d.at_least().is_some_and(|low| low >= 0);
        match never_negative(other.sub(self)) {
            true => Some(true),
            false => never_negative(self.sub(other)).then_some(false),
        }
    }

    /// A lower bound, symbols being at least 1: `None` if none is known.
    pub fn at_least(&self) -> Option<i64> {
        match self {
            Dim::Const(c) => Some(*c),
            Dim::Poly(terms) => terms.iter().try_fold(0i64, |sum, t| {
                let (low, constant) = (t.coefficient, t.atoms.is_empty());
                let atoms_low = t.atoms.iter().try_fold(1, |p, a| checked_mul(p, a.at_least()?.max(0)));
                match (constant, low > 0) {
                    (true, _) => sum.checked_add(low),
                    (false, true) => sum.checked_add(checked_mul(low, atoms_low?)?),
                    (false, false) => None,
                }
            }),
        }
    }

    /// 1 if positive, -1 if negative, 0 if zero whatever the symbols are; `None` if that depends on them.
    pub fn sign(&self) -> Option<i32> {
        if let Dim::Const(c) = self {
            return Some(c.signum() as i32);
        }
        if self.at_least().is_some_and(|low| low > 0) {
            return Some(1);
        }
        let negated = self.mul(&Dim::Const(-1));
        negated.at_least().is_some_and(|low| low > 0).then_some(-1)
    }

    /// The symbol, if it is just one.
    pub fn as_symbol(&self) -> Option<Symbol> {
        match self {
            Dim::Poly(terms) => match &**terms {
                [Term { atoms, coefficient: 1 }] => match atoms.as_slice() {
                    [Atom::Symbol(s)] => Some(*s),
                    _ => None,
                },
                _ => None,
            },
            Dim::Const(_) => None,
        }
    }

    /// The operands, if it is the smaller of two.
    pub fn as_min(&self) -> Option<(&Dim, &Dim)> {
        match self {
            Dim::Poly(terms) => match &**terms {
                [Term { atoms, coefficient: 1 }] => match atoms.as_slice() {
                    [Atom::Min(pair)] => Some((&pair.0, &pair.1)),
                    _ => None,
                },
                _ => None,
            },
            Dim::Const(_) => None,
        }
    }

    /// The value when symbol `s` is `binding(s)`; `None` when a symbol is unbound or a division is by zero.
    pub fn evaluate(&self, binding: &dyn Fn(Symbol) -> Option<Dim>) -> Option<Dim> {
        match self {
            Dim::Const(_) => Some(self.clone()),
            Dim::Poly(terms) => terms.iter().try_fold(Dim::Const(0), |sum, t| {
                let product = t.atoms.iter().try_fold(Dim::Const(t.coefficient), |p, atom| {
                    let value = match atom {
                        Atom::Symbol(s) => binding(*s)?,
                        Atom::Min(p) => p.0.evaluate(binding)?.smaller(&p.1.evaluate(binding)?),
                        Atom::Max(p) => p.0.evaluate(binding)?.larger(&p.1.evaluate(binding)?),
                        Atom::Div(p) => p.0.evaluate(binding)?.div(&p.1.evaluate(binding)?)?,
                    };
                    Some(p.mul(&value))
                })?;
                Some(sum.add(&product))
            }),
        }
    }
}

fn ordered(a: &Dim, b: &Dim) -> (Dim, Dim) {
    if a <= b { (a.clone(), b.clone()) } else { (b.clone(), a.clone()) }
}

impl Atom {
    fn at_least(&self) -> Option<i64> {
        match self {
            Atom::Symbol(_) => Some(1),
            Atom::Min(p) => Some(p.0.at_least()?.min(p.1.at_least()?)),
            Atom::Max(p) => Some(p.0.at_least()?.max(p.1.at_least()?)),
            Atom::Div(p) => (p.0.at_least()? >= 0 && p.1.at_least()? > 0).then_some(0),
        }
    }
}

/// The values of dimensions, or of numbers, if all are known.
pub fn known(dims: &[Dim]) -> Option<Vec<i64>> {
    let mut all = Vec::with_capacity(dims.len());
    for dim in dims {
        all.push(dim.known()?);
    }
    Some(all)
}

/// The sizes of a concrete shape. What is over all memory is as large as can be.
pub fn known_sizes(shape: &[Dim]) -> Option<Vec<usize>> {
    let mut all = Vec::with_capacity(shape.len());
    for dim in shape {
        all.push(usize::try_from(dim.known()?).unwrap_or(usize::MAX));
    }
    Some(all)
}

/// Sizes as the dimensions of a concrete shape.
pub fn of_sizes(sizes: &[usize]) -> Vec<Dim> {
    let mut dims = Vec::with_capacity(sizes.len() + 1);
    sizes.iter().for_each(|&size| dims.push(size.into()));
    dims
}

/// Product of dimensions.
pub fn product(dims: &[Dim]) -> Dim {
    dims.iter().fold(Dim::Const(1), |p, d| p.mul(d))
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = match self {
            Dim::Const(c) => return write!(f, "{c}"),
            Dim::Poly(terms) => terms,
        };
        for (i, term) in terms.iter().enumerate() {
            if i > 0 {
                f.write_str(" + ")?;
            }
            if term.coefficient != 1 || term.atoms.is_empty() {
                write!(f, "{}", term.coefficient)?;
            }
            for (j, atom) in term.atoms.iter().enumerate() {
                if j > 0 || term.coefficient != 1 {
                    f.write_str("*")?;
                }
                match atom {
                    Atom::Symbol(s) => write!(f, "s{s}")?,
                    Atom::Min(p) => write!(f, "min({}, {})", p.0, p.1)?,
                    Atom::Max(p) => write!(f, "max({}, {})", p.0, p.1)?,
                    Atom::Div(p) => write!(f, "({} / {})", p.0, p.1)?,
                }
            }
        }
        Ok(())
    }
}

/// `a * b`, unless it has or might have more than 62 bits. The standard library's takes 128 bits, which WebAssembly has no
/// instruction for.
pub(crate) fn checked_mul(a: i64, b: i64) -> Option<i64> {
    let spare = a.unsigned_abs().leading_zeros() + b.unsigned_abs().leading_zeros();
    (spare > 64).then(|| a.wrapping_mul(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(n: Symbol) -> Dim {
        Dim::symbol(n)
    }

    #[test]
    fn normal_form_makes_equality_structural() {
        let batch_times_heads = s(0).mul(&Dim::Const(12));
        assert_eq!(batch_times_heads.mul(&s(1)), s(1).mul(&Dim::Const(12)).mul(&s(0)));
        assert_eq!(s(0).add(&s(1)).sub(&s(0)), s(1));
        assert_eq!(s(0).sub(&s(0)), Dim::Const(0));
    }

    #[test]
    fn a_reshape_remainder_divides() {
        let elements = product(&[s(0), s(1), Dim::Const(384)]);
        let known = product(&[s(0), Dim::Const(12), Dim::Const(32)]);
        assert_eq!(elements.div_exact(&known), Some(s(1)));
        assert_eq!(s(0).div_exact(&s(1)), None);
        assert_eq!(s(0).div_exact(&Dim::Const(0)), None);
    }

    #[test]
    fn bounds_decide_comparisons() {
        assert_eq!(s(0).sub(&Dim::Const(-1)).sign(), Some(1));
        assert_eq!(s(0).sub(&Dim::Const(1)).sign(), None);
        assert_eq!(s(0).smaller(&Dim::Const(i64::MAX)).evaluate(&|_| Some(Dim::Const(7))), Some(Dim::Const(7)));
        assert_eq!(s(0).larger(&Dim::Const(0)), s(0));
        assert_eq!(s(0).smaller(&Dim::Const(1)), Dim::Const(1));
        assert_eq!(s(0).sub(&Dim::Const(1)).larger(&Dim::Const(0)), s(0).sub(&Dim::Const(1)));
        let clipped = s(1).smaller(&Dim::Const(128));
        assert_eq!(clipped.as_min(), Some((&Dim::Const(128), &s(1))));
        assert_eq!(clipped.evaluate(&|_| Some(Dim::Const(300))), Some(Dim::Const(128)));
    }
}
