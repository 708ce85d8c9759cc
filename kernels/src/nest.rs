//! Loop nests over strided views, made as shallow as possible.
//!
//! Views of real models have few shapes in memory: whole tensors, rows, broadcast rows, swapped axes. Axes of length
//! one vanish, and two neighbouring axes become one when every operand steps over both with a single stride. So a
//! contiguous tensor of any rank is one loop, and the kernels only look at the innermost one or two.

use std::array::from_fn;

/// The most axes that a view may have.
pub const MAX_RANK: usize = 8;

/// Nested loops in which `N` operands step along.
pub(crate) struct Nest<const N: usize> {
    rank: usize,
    shape: [usize; MAX_RANK],
    /// `strides[axis][operand]`
    strides: [[isize; N]; MAX_RANK],
}

impl<const N: usize> Nest<N> {
    /// The loops over `shape`; `strides` of an operand are elements per step of each axis.
    ///
    /// # Panics
    /// If the ranks differ or exceed [`MAX_RANK`].
    #[inline(never)]
    pub(crate) fn new(shape: &[usize], strides: [&[isize]; N]) -> Self {
        assert!(shape.len() <= MAX_RANK, "a view has more than 8 axes");
        assert!(strides.iter().all(|strides| strides.len() == shape.len()), "strides and shape differ in rank");
        let mut nest = Nest { rank: 0, shape: [1; MAX_RANK], strides: [[0; N]; MAX_RANK] };
        for (axis, &len) in shape.iter().enumerate() {
            if len != 1 {
                nest.push(len, strides.map(|strides| strides[axis]));
            }
        }
        nest
    }

    /// Adds an innermost loop, or widens the one that was innermost.
    fn push(&mut self, len: usize, strides: [isize; N]) {
        if let Some(last) = self.rank.checked_sub(1) {
            // A step of the outer loop must be as far as all steps of the inner one.
            let merges =
                |operand: usize| Some(self.strides[last][operand]) == strides[operand].checked_mul(len as isize);
            if (0..N).all(merges) {
                self.shape[last] = self.shape[last].saturating_mul(len);
                self.strides[last] = strides;
                return;
            }
        }
        self.shape[self.rank] = len;
        self.strides[self.rank] = strides;
        self.rank += 1;
    }

    /// Length and strides of the loop `depth` levels outside of the innermost; one step of stride 0 if there is none.
    pub(crate) fn inner(&self, depth: usize) -> (usize, [isize; N]) {
        match self.rank.checked_sub(depth + 1) {
            Some(axis) => (self.shape[axis], self.strides[axis]),
            None => (1, [0; N]),
        }
    }

    /// How many elements each operand spans, from the lowest to the highest. Zero if there are no elements.
    #[inline(never)]
    pub(crate) fn spans(&self) -> [usize; N] {
        if self.shape.contains(&0) {
            return [0; N];
        }
        from_fn(|operand| {
            let far = |axis: usize| (self.shape[axis] - 1).saturating_mul(self.strides[axis][operand].unsigned_abs());
            (0..self.rank).map(far).fold(1, usize::saturating_add)
        })
    }

    /// Runs through all loops but the innermost `depth`. The [spans](Nest::spans) must have been found to fit the
    /// operands.
    pub(crate) fn outer(&self, depth: usize) -> Outer<'_, N> {
        // The lowest element is at zero, so an axis of negative stride begins that much higher.
        let start = |operand: usize| {
            let high = |axis: usize| (self.shape[axis] as isize - 1) * (-self.strides[axis][operand]).max(0);
            (0..self.rank).map(high).sum()
        };
        let ended = self.shape.contains(&0);
        Outer {
            nest: self,
            loops: self.rank.saturating_sub(depth),
            index: [0; MAX_RANK],
            offsets: if ended { [0; N] } else { from_fn(start) },
            ended,
        }
    }
}

/// Yields, for every step of some outer loops, the offsets of the operands from their lowest elements at which the
/// inner loops begin. Along a negative stride that is the far end.
pub(crate) struct Outer<'a, const N: usize> {
    nest: &'a Nest<N>,
    loops: usize,
    index: [usize; MAX_RANK],
    offsets: [isize; N],
    ended: bool,
}

impl<const N: usize> Iterator for Outer<'_, N> {
    type Item = [usize; N];

    #[inline(never)]
    fn next(&mut self) -> Option<[usize; N]> {
        if self.ended {
            return None;
        }
        let current = self.offsets;
        self.ended = true;
        // Counts up like an odometer, from the innermost of these loops outwards.
        for axis in (0..self.loops).rev() {
            let (len, strides) = (self.nest.shape[axis], self.nest.strides[axis]);
            self.index[axis] += 1;
            let steps = if self.index[axis] < len { 1 } else { 1 - len as isize };
            for operand in 0..N {
                self.offsets[operand] += strides[operand] * steps;
            }
            if steps == 1 {
                self.ended = false;
                break;
            }
            self.index[axis] = 0;
        }
        Some(current.map(|offset| offset as usize))
    }
}
