//! The innermost loops: a few rows of A times a panel of B, summed in registers. One for each way to multiply.
//!
//! A comes as words of 32 bits: two neighbouring `k` of a row as `i16`, or four as bytes. The words of the rows of a
//! tile lie side by side, so that one pointer serves all of them and every access is at a constant distance.

use crate::ahead::Ahead;
use crate::arch::{I8x16, I16x8, I32x4};
use crate::vector::{ByteVector, IntVector, LANES, ShortVector};
use std::array::from_fn;
use std::hint::black_box;

/// Columns of a panel of B.
pub(super) const NR: usize = 8;
/// Rows of the register tile at most: 4x8 sums take eight registers, with two to four for B and one or two for A.
pub(super) const MR: usize = 4;
/// Vectors in a row of the register tile.
const VECTORS: usize = NR / LANES;

/// Sums of a tile.
pub(super) type Tile = [[i32; NR]; MR];

type Sums<const ROWS: usize> = [[I32x4; VECTORS]; ROWS];

#[inline(always)]
fn zeros<const ROWS: usize>() -> Sums<ROWS> {
    [[I32x4::splat(0); VECTORS]; ROWS]
}

#[inline(always)]
fn store<const ROWS: usize>(sums: Sums<ROWS>, tile: &mut Tile) {
    for (row, sums) in tile.iter_mut().zip(sums) {
        for v in 0..VECTORS {
            // SAFETY: a row of the tile is NR = VECTORS * LANES values.
            unsafe { sums[v].store(row.as_mut_ptr().add(v * LANES)) };
        }
    }
}

/// Calls a function that is generic over the number of rows.
macro_rules! by_rows {
    ($rows:expr, $function:ident($($argument:expr),*)) => {
        match $rows {
            1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 => $function::<3>($($argument),*),
            _ => $function::<MR>($($argument),*),
        }
    };
}

/// [`Mode::I16`](super::Mode::I16): `b` has [`NR`] pairs of bytes for every word of a row of A.
pub(super) fn i16(rows: usize, a: &[i32], b: &[u8], tile: &mut Tile) {
    by_rows!(rows, i16_rows(a, b, tile))
}

#[inline(never)]
fn i16_rows<const ROWS: usize>(a: &[i32], b: &[u8], tile: &mut Tile) {
    let pairs = a.len() / ROWS;
    assert!(b.len() >= 2 * NR * pairs);
    let mut sums = zeros::<ROWS>();
    let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
    for _ in 0..pairs {
        // SAFETY: `b` has NR pairs of bytes for every one of `pairs`, and a vector takes eight bytes, LANES pairs.
        let b_vectors: [_; VECTORS] = from_fn(|v| unsafe { I16x8::load_extend(b.add(2 * v * LANES).cast()) });
        for r in 0..ROWS {
            // SAFETY: `a` has ROWS words for every one of `pairs`.
            let a = unsafe { I16x8::load_pair_splat(a.add(r).cast()) };
            for v in 0..VECTORS {
                sums[r][v] = sums[r][v] + a.dot(b_vectors[v]);
            }
        }
        (a, b) = (a.wrapping_add(ROWS), b.wrapping_add(2 * NR));
    }
    store(sums, tile);
}

/// [`i16()`] of a panel that [`widen`] has widened.
pub(super) fn i16_widened(rows: usize, a: &[i32], b: &[i32], tile: &mut Tile) {
    by_rows!(rows, i16_widened_rows(a, b, tile))
}

#[inline(never)]
fn i16_widened_rows<const ROWS: usize>(a: &[i32], b: &[i32], tile: &mut Tile) {
    let pairs = a.len() / ROWS;
    assert!(b.len() >= NR * pairs);
    let mut sums = zeros::<ROWS>();
    let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
    for _ in 0..pairs {
        // SAFETY: `b` has NR pairs of i16 for every one of `pairs`, and a vector takes LANES of these.
        let b_vectors: [_; VECTORS] = from_fn(|v| unsafe { I16x8::load(b.add(v * LANES).cast()) });
        for r in 0..ROWS {
            // SAFETY: `a` has ROWS words for every one of `pairs`.
            let a = unsafe { I16x8::load_pair_splat(a.add(r).cast()) };
            for v in 0..VECTORS {
                sums[r][v] = sums[r][v] + a.dot(b_vectors[v]);
            }
        }
        (a, b) = (a.wrapping_add(ROWS), b.wrapping_add(NR));
    }
    store(sums, tile);
}

/// Sign-extends the bytes of a panel to pairs of `i16`.
#[inline(never)]
pub(super) fn widen(b: &[u8], wide: &mut [i32]) {
    for (bytes, wide) in b.as_chunks::<8>().0.iter().zip(wide.as_chunks_mut::<LANES>().0) {
        // SAFETY: eight bytes are read from an array of as many, and eight i16 written to an array of that size.
        unsafe { I16x8::load_extend(bytes.as_ptr().cast()).store(wide.as_mut_ptr().cast()) };
    }
}

/// [`Mode::Sdot`](super::Mode::Sdot) and [`Mode::Usdot`](super::Mode::Usdot): `b` has [`NR`] times four bytes for every
/// word of a row of A.
pub(super) fn dot(rows: usize, signed: bool, a: &[i32], b: &[u8], tile: &mut Tile) {
    by_rows!(rows, dot_rows(signed, a, b, tile))
}

#[inline(never)]
fn dot_rows<const ROWS: usize>(signed: bool, a: &[i32], b: &[u8], tile: &mut Tile) {
    let quads = a.len() / ROWS;
    assert!(b.len() >= 4 * NR * quads);
    let mut sums = zeros::<ROWS>();
    let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
    for _ in 0..quads {
        // SAFETY: `b` has NR times four bytes for every one of `quads`, and a vector takes LANES of these.
        let b_vectors: [_; VECTORS] = from_fn(|v| unsafe { I8x16::load(b.add(4 * v * LANES)) });
        for r in 0..ROWS {
            // SAFETY: `a` has ROWS words for every one of `quads`.
            let a = unsafe { I8x16::load_quad_splat(a.add(r).cast()) };
            for v in 0..VECTORS {
                sums[r][v] = b_vectors[v].dot_add(a, signed, sums[r][v]);
            }
        }
        (a, b) = (a.wrapping_add(ROWS), b.wrapping_add(4 * NR));
    }
    store(sums, tile);
}

/// A panel for [`maddubs`]: steps of eight `k` and steps of four, [`NR`] times four bytes for each four, with their
/// positions along `k`, a `u16` in units of four.
#[derive(Clone, Copy, Default)]
pub(super) struct Steps<'a> {
    pub double_data: &'a [u8],
    pub double_positions: &'a [[u8; 2]],
    pub single_data: &'a [u8],
    pub single_positions: &'a [[u8; 2]],
    /// Data of the steps of eight and of four of the next panel.
    pub next: [&'a [u8]; 2],
}

/// [`Mode::Maddubs`](super::Mode::Maddubs), for tile `t` of `tiles` by the same panel. If these are a few they share out
/// the next panel to read it ahead of its use.
///
/// A panel that has a step of eight for every eight `k` needs no positions, which take a tenth of the time.
pub(super) fn maddubs(rows: usize, a: &[i32], b: Steps, t: usize, tiles: usize, tile: &mut Tile) {
    let (is_ahead, is_whole) = ((2..=AHEAD).contains(&tiles), 2 * MR * b.double_positions.len() == a.len());
    match rows {
        1 => maddubs_rows::<1, false, false>(a, b, t, tiles, tile),
        2 => maddubs_rows::<2, false, false>(a, b, t, tiles, tile),
        3 => maddubs_rows::<3, false, false>(a, b, t, tiles, tile),
        _ => match (is_ahead, is_whole) {
            (true, true) => maddubs_rows::<MR, true, true>(a, b, t, tiles, tile),
            (true, false) => maddubs_rows::<MR, true, false>(a, b, t, tiles, tile),
            (false, true) => maddubs_rows::<MR, false, true>(a, b, t, tiles, tile),
            (false, false) => maddubs_rows::<MR, false, false>(a, b, t, tiles, tile),
        },
    }
}

/// With more tiles than this reading ahead takes more time than it saves.
const AHEAD: usize = 16;

#[inline(never)]
fn maddubs_rows<const ROWS: usize, const IS_AHEAD: bool, const IS_WHOLE: bool>(
    a: &[i32],
    steps: Steps,
    t: usize,
    tiles: usize,
    tile: &mut Tile,
) {
    const QUADS: usize = 4 * NR;
    let Steps { double_data, double_positions, single_data, single_positions, next } = steps;
    let next = |kind: usize, steps: usize| match IS_AHEAD {
        true => Ahead::new(next[kind], t, steps, next[kind].len() / (tiles * steps).max(1)),
        false => Ahead::nothing(),
    };
    assert!(double_data.len() >= 2 * QUADS * double_positions.len());
    assert!(single_data.len() >= QUADS * single_positions.len());
    assert!(a.len() >= 2 * ROWS || double_positions.is_empty() && single_positions.is_empty());
    // Nothing is read beyond A, wherever positions point.
    let words = a.len() / ROWS;
    let at = |position: &[u8; 2], width: usize| {
        a.as_ptr().cast::<u8>().wrapping_add(4 * ROWS * usize::from(u16::from_le_bytes(*position)).min(words - width))
    };
    let mut sums = zeros::<ROWS>();
    // As a constant it would be made anew in every step.
    let ones = I16x8::splat(black_box(1));
    // Nothing, but the compiler does not know: else it would load A once for both vectors of B, keep it in registers
    // that are not there, and spill the sums.
    let nothing = black_box(0);
    let mut b = double_data.as_ptr();
    let mut next_a = a.as_ptr().cast::<u8>();
    let mut ahead = next(0, double_positions.len());
    for position in double_positions {
        if IS_AHEAD {
            // SAFETY: there are no more steps.
            unsafe { ahead.read() };
        }
        let a = if IS_WHOLE { next_a } else { at(position, 2) };
        next_a = next_a.wrapping_add(8 * ROWS);
        for v in 0..VECTORS {
            let a = if v == 0 { a } else { a.wrapping_add(nothing) };
            // SAFETY: `b` has twice QUADS bytes for each of these steps, and a vector takes 4 * LANES of these.
            let (b0, b1) = unsafe { (I8x16::load(b.add(4 * LANES * v)), I8x16::load(b.add(4 * LANES * v + QUADS))) };
            for r in 0..ROWS {
                // Written out: a loop over the two hides from the compiler that their addresses cannot overflow, and
                // then each takes an addition.
                // SAFETY: 2 * ROWS words follow.
                let a0 = unsafe { I8x16::load_quad_splat(a.add(4 * r)) };
                // SAFETY: as before.
                let a1 = unsafe { I8x16::load_quad_splat(a.add(4 * r + 4 * ROWS)) };
                sums[r][v] = sums[r][v] + (b0.dot_pairs(a0) + b1.dot_pairs(a1)).dot(ones);
            }
        }
        b = b.wrapping_add(2 * QUADS);
    }
    let mut b = single_data.as_ptr();
    if IS_WHOLE {
        return store(sums, tile);
    }
    let mut ahead = next(1, single_positions.len());
    for position in single_positions {
        if IS_AHEAD {
            // SAFETY: there are no more steps.
            unsafe { ahead.read() };
        }
        let a = at(position, 1);
        // SAFETY: `b` has QUADS bytes for each of these steps, and a vector takes 4 * LANES of these.
        let b_vectors: [_; VECTORS] = from_fn(|v| unsafe { I8x16::load(b.add(4 * v * LANES)) });
        for r in 0..ROWS {
            // SAFETY: ROWS words follow.
            let a = unsafe { I8x16::load_quad_splat(a.add(4 * r)) };
            for v in 0..VECTORS {
                sums[r][v] = sums[r][v] + b_vectors[v].dot_pairs(a).dot(ones);
            }
        }
        b = b.wrapping_add(QUADS);
    }
    store(sums, tile);
}
