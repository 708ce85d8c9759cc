//! The one seam to threads: how a kernel shares its outermost loop.
//!
//! With the feature `threads` work is shared among the threads of the [rayon](https://docs.rs/rayon) pool in which a
//! kernel is called; outside of a pool, and without the feature, everything stays on the thread that calls. A kernel
//! cuts its *result* into tasks, never a sum, so the bits are the same for any number of threads and any course of
//! events.
//!
//! Tasks are handed out one by one from a counter, so that a thread which is slower, or was woken late, gets fewer.
//! Forking is `rayon::join`, which allocates nothing: one job for each further thread, halving, and a job that nobody
//! took in time comes back to the thread that made it, which finds the counter at its end.
//!
//! Waking a thread and waiting for it takes a while, so small work is not shared: see [`WORTH`].

use std::marker::PhantomData;
#[cfg(feature = "threads")]
use std::sync::atomic::{AtomicUsize, Ordering};

/// Work, in multiply-adds of a GEMM, from which on it is shared.
///
/// Measured in V8 (Node 24, relaxed SIMD, two threads, the best of 150 runs on a busy machine): a product of 2^18, which
/// takes one thread 11 microseconds, gains 1.2 times, one of 2^20 1.7 times; smaller ones gain nothing. Sharing what
/// gains little is a risk: where cores are busy, all wait for the one thread that was interrupted.
pub(crate) const WORTH: usize = 1 << 19;

/// How many threads share work here: those of the rayon pool to which this one belongs, else 1.
pub fn threads() -> usize {
    // Asked elsewhere, rayon would start a pool for the whole process.
    #[cfg(feature = "threads")]
    if rayon::current_thread_index().is_some() {
        return rayon::current_num_threads();
    }
    1
}

/// How many threads share this much work, in multiply-adds.
fn threads_for(work: usize) -> usize {
    if work < WORTH { 1 } else { threads() }
}

/// Into how many columns each `n` columns are cut for so much work: a multiple of `unit` that gives every thread a few
/// parts. All of them, and at least one, if one thread does it all.
pub(crate) fn part(n: usize, unit: usize, work: usize) -> usize {
    match threads_for(work) {
        1 => n.max(1),
        threads => n.div_ceil(4 * threads).next_multiple_of(unit),
    }
}

/// Calls `f` with each number below `count`. `work` is what all calls together do, in multiply-adds.
pub(crate) fn for_each(count: usize, work: usize, f: impl Fn(usize) + Sync) {
    for_each_with(count, work, &mut [(); 0], 0, |i, _| f(i));
}

/// [`for_each`] with `share` elements of `scratch` for each thread. There are as many threads as it is enough for.
pub(crate) fn for_each_with<T: Send>(
    count: usize,
    work: usize,
    scratch: &mut [T],
    share: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    #[cfg(feature = "threads")]
    {
        let threads = threads_for(work).min(count).min(scratch.len().checked_div(share).unwrap_or(usize::MAX));
        if threads > 1 {
            let next = AtomicUsize::new(0);
            return fork(threads, scratch, share, &|scratch| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count {
                        return;
                    }
                    f(i, scratch);
                }
            });
        }
    }
    let _ = (work, share);
    for i in 0..count {
        f(i, scratch);
    }
}

/// Calls `f` on so many threads, each with a share of `scratch`.
#[cfg(feature = "threads")]
fn fork<T: Send>(threads: usize, scratch: &mut [T], share: usize, f: &(impl Fn(&mut [T]) + Sync)) {
    if threads == 1 {
        return f(scratch);
    }
    let half = threads / 2;
    let (mine, others) = scratch.split_at_mut(half * share);
    rayon::join(|| fork(half, mine, share, f), || fork(threads - half, others, share, f));
}

/// Calls `f` with the index and the elements of each `size` neighbours of `x`; the last ones may be fewer.
pub(crate) fn for_each_chunk<T: Send>(x: &mut [T], size: usize, work: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let (len, size) = (x.len(), size.max(1));
    let grid = Grid::new(x, size);
    for_each(len.div_ceil(size), work, |i| {
        // SAFETY: every call has another `i`, and writes that chunk alone.
        let mut grid = unsafe { grid.share() };
        f(i, grid.row(i, 0, size.min(len - i * size)));
    });
}

/// A matrix of which several threads write, each its own rows or columns: row `i` begins at `i * stride`.
pub(crate) struct Grid<'a, T> {
    start: *mut T,
    len: usize,
    stride: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]`, of which copies are made only by the unsafe `share`.
unsafe impl<T: Send> Send for Grid<'_, T> {}
// SAFETY: a `&Grid` gives nothing but what `share` makes, whose caller promises that no two threads touch the same.
unsafe impl<T: Send> Sync for Grid<'_, T> {}

impl<'a, T> Grid<'a, T> {
    pub fn new(data: &'a mut [T], stride: usize) -> Self {
        Grid { start: data.as_mut_ptr(), len: data.len(), stride, borrow: PhantomData }
    }

    /// The same matrix once more.
    ///
    /// # Safety
    /// While both exist, no element may be accessed through one that is accessed through the other.
    pub unsafe fn share(&self) -> Grid<'a, T> {
        Grid { ..*self }
    }

    /// What follows the first `start` elements.
    pub fn from(self, start: usize) -> Grid<'a, T> {
        assert!(start <= self.len, "a matrix ends before its columns");
        Grid { start: self.start.wrapping_add(start), len: self.len - start, ..self }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Where column `j` of row `i` is.
    #[inline(always)]
    pub fn pointer(&mut self, i: usize, j: usize) -> *mut T {
        let start = i * self.stride + j;
        assert!(start <= self.len, "a matrix ends before its row");
        self.start.wrapping_add(start)
    }

    /// Columns `j..j + width` of row `i`.
    #[inline(always)]
    pub fn row(&mut self, i: usize, j: usize, width: usize) -> &mut [T] {
        let start = i * self.stride + j;
        assert!(start <= self.len && width <= self.len - start, "a matrix ends before its row");
        // SAFETY: in bounds of the slice that was borrowed for 'a; whoever made a copy promises that nobody else
        // accesses these elements.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(i, j), width) }
    }
}

impl<'a> Grid<'a, i32> {
    /// The same bits as floats.
    pub fn floats(&mut self) -> Grid<'_, f32> {
        Grid { start: self.start.cast(), len: self.len, stride: self.stride, borrow: PhantomData }
    }
}

#[cfg(all(test, feature = "threads"))]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::thread::sleep;
    use std::time::Duration;

    /// The threads that took part in calls of `f`, which it hands a witness.
    fn witnesses(f: impl Fn(&(dyn Fn() + Sync)) + Send + Sync) -> usize {
        let seen = Mutex::new(HashSet::new());
        let witness = || {
            sleep(Duration::from_millis(2));
            seen.lock().expect("no panic").insert(rayon::current_thread_index());
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().expect("threads");
        pool.install(|| f(&witness));
        seen.into_inner().expect("no panic").len()
    }

    #[test]
    fn work_is_shared_if_it_is_worth_it() {
        assert_eq!(witnesses(|witness| for_each(30, WORTH, |_| witness())), 3);
        assert_eq!(witnesses(|witness| for_each(30, WORTH - 1, |_| witness())), 1);
        assert_eq!(witnesses(|witness| for_each_chunk(&mut [0; 100], 9, WORTH, |_, _| witness())), 3);
    }

    #[test]
    fn there_are_as_many_threads_as_scratch_is_enough_for() {
        let with = |scratch: usize| {
            witnesses(move |witness| {
                let mut scratch = vec![0; scratch];
                for_each_with(30, WORTH, &mut scratch, 4, |_, share| {
                    assert!(share.len() >= 4);
                    witness();
                });
            })
        };
        assert_eq!([with(4), with(8), with(11), with(12), with(50)], [1, 2, 2, 3, 3]);
    }
}
