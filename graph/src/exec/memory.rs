//! Views become slices: the one place where steps reach into the arena.

use crate::ir::DType;
use crate::plan::{Buffer, Plan, Step, View};
use crate::tensor::{Data, Elements};
use crate::weights::Weights;
use bytemuck::Pod;

/// The memory of a run.
pub(crate) struct Memory<'a> {
    arena: *mut u8,
    len: usize,
    weights: &'a Weights,
    plan: &'a Plan,
    /// Whether floats are computed as in [`fourlane_kernels::literal`].
    pub literal: bool,
}

impl<'a> Memory<'a> {
    /// `arena` is at least as large as the plan says, and aligned to 16 bytes.
    pub fn new(arena: &'a mut [u8], weights: &'a Weights, plan: &'a Plan, literal: bool) -> Memory<'a> {
        assert!(arena.len() >= plan.arena && (arena.as_ptr() as usize).is_multiple_of(16));
        Memory { arena: arena.as_mut_ptr(), len: arena.len(), weights, plan, literal }
    }

    /// The elements of an operand.
    pub fn read<T: Pod>(&self, view: &View) -> &[T] {
        bytemuck::cast_slice(self.bytes(view))
    }

    /// The bytes of an operand.
    pub fn bytes(&self, view: &View) -> &[u8] {
        let range = view.range();
        match view.buffer {
            // Packed panels are as long as their kernel wants them, not as their shape says.
            Buffer::Weight(slot) => self.weights.data(slot),
            Buffer::Plan => &self.plan.constants.bytes()[range],
            Buffer::Arena => {
                assert!(range.end <= self.len);
                // SAFETY: in bounds of the arena, which is borrowed for 'a. The plan keeps a step's results and scratch
                // apart from its operands (`Plan::assert_disjoint`), and a step asks for each result once, so no
                // `&mut` to these bytes is alive.
                unsafe { std::slice::from_raw_parts(self.arena.add(range.start), range.len()) }
            }
        }
    }

    /// The elements of an operand, whatever their type.
    pub fn data(&self, view: &View) -> Data<'_> {
        Data::new(view.dtype, self.bytes(view))
    }

    /// The elements of an operand as integers with the same bits.
    pub fn bits(&self, view: &View) -> Data<'_> {
        let dtype = match view.dtype.size() {
            8 => DType::I64,
            4 => DType::I32,
            _ => DType::U8,
        };
        Data::new(dtype, self.bytes(view))
    }

    /// The elements of a result or of scratch, which the step asks for once.
    #[allow(clippy::mut_from_ref)]
    pub fn write<T: Pod>(&self, view: &View) -> &mut [T] {
        bytemuck::cast_slice_mut(self.bytes_mut(view))
    }

    /// The bytes of a result or of scratch, which the step asks for once.
    #[allow(clippy::mut_from_ref)]
    pub fn bytes_mut(&self, view: &View) -> &mut [u8] {
        let range = view.range();
        assert!(view.buffer == Buffer::Arena && range.end <= self.len);
        // SAFETY: in bounds of the arena, which is borrowed mutably for 'a; apart from every other slice that this
        // step asks for, as the plan has it (see `bytes`).
        unsafe { std::slice::from_raw_parts_mut(self.arena.add(range.start), range.len()) }
    }

    /// The result of a step that has one, element by element.
    pub fn out(&self, step: &Step) -> Elements<'_> {
        let view = &step.outputs[0];
        Elements::new(view.dtype, self.bytes_mut(view))
    }
}
