//! Reading ahead: one byte in every step of a loop, a little further each time, so that what comes next is near when its
//! turn comes. Spread like that, reads that miss overlap with computing. WebAssembly has no instruction for it.

/// What a loop reads ahead.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    at: *const u8,
    step: usize,
}

/// Something to read where there is nothing ahead.
static NOTHING: u8 = 0;

impl Ahead {
    /// Nothing.
    pub fn nothing() -> Ahead {
        Ahead { at: &NOTHING, step: 0 }
    }

    /// Share `t` of `next`, where a share is so many steps of `step` bytes. Nothing if that is more than there is.
    #[inline(always)]
    pub fn new(next: &[u8], t: usize, steps: usize, step: usize) -> Ahead {
        let start = step * steps * t;
        if step == 0 || next.len() < start + step * steps {
            return Ahead::nothing();
        }
        Ahead { at: next.as_ptr().wrapping_add(start), step }
    }

    /// Takes a step.
    ///
    /// # Safety
    /// What was read must still exist, and there must be no more steps than were announced.
    #[inline(always)]
    pub unsafe fn read(&mut self) {
        // SAFETY: within a share there is a byte for every step. Volatile, or the read would be left out.
        unsafe { self.at.read_volatile() };
        self.at = self.at.wrapping_add(self.step);
    }
}
