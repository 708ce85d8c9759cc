//! How products of bytes are formed, and which ways the engine has.
//!
//! Relaxed SIMD has a dot product of signed bytes with "i7" bytes. If one of the latter has its top bit set, the engine
//! may read it as it likes, so that every processor can use what it has: Arm multiplies signed bytes (`sdot`); x86
//! multiplies signed with unsigned ones, either into 32 bits (`vpdpbusd`) or, on processors without that, in pairs
//! into 16 bits, with saturation (`pmaddubsw`). Nothing tells a module which of these it got but the results.

use crate::arch::{BYTE_DOTS, FAST_BYTE_DOTS, I8x16, I16x8, I32x4};
use crate::vector::{ByteVector, IntVector, LANES, ShortVector};
use std::array::from_fn;
use std::hint::black_box;

/// A way to multiply matrices of bytes. All give the same bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Bytes are widened to 16 bits. Every engine can.
    I16,
    /// Four signed with four signed bytes, summed in 32 bits.
    Sdot,
    /// Four signed with four unsigned bytes, summed in 32 bits.
    Usdot,
    /// Two signed with two unsigned bytes, summed in 16 bits, where a sum that does not fit is saturated. Packing
    /// arranges the weights so that all fit.
    Maddubs,
}

impl Mode {
    /// All modes, best first.
    pub const ALL: [Mode; 4] = [Mode::Sdot, Mode::Usdot, Mode::Maddubs, Mode::I16];

    /// The fastest mode in which this engine is exact.
    #[inline]
    pub fn best() -> Mode {
        let mut modes = Mode::ALL.into_iter().filter(|mode| FAST_BYTE_DOTS || *mode == Mode::I16);
        modes.find(|mode| mode.is_exact()).unwrap_or(Mode::I16)
    }

    /// Whether this engine gets the right sums in this mode: it is asked, with bytes at which it would go wrong.
    #[inline]
    pub fn is_exact(self) -> bool {
        self.exists() && (self == Mode::I16 || (0..PROBES).all(|seed| self.is_right(&Probe::new(seed))))
    }

    /// Whether this build has the mode.
    #[inline(always)]
    pub(super) fn exists(self) -> bool {
        BYTE_DOTS || self == Mode::I16
    }

    /// What people call it: `"i16"`, `"sdot"`, `"usdot"` or `"maddubs"`.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::I16 => "i16",
            Mode::Sdot => "sdot",
            Mode::Usdot => "usdot",
            Mode::Maddubs => "maddubs",
        }
    }

    #[inline]
    fn is_right(self, probe: &Probe) -> bool {
        let Probe { a, b } = probe;
        // SAFETY: both arrays are sixteen bytes.
        let [x, y] = [a, b].map(|bytes| unsafe { I8x16::load(black_box(bytes).as_ptr()) });
        let product = |i: usize| {
            let b = if self == Mode::Sdot { i32::from(b[i] as i8) } else { i32::from(b[i]) };
            i32::from(a[i] as i8) * b
        };
        let sum = |from: usize, count: usize| (from..from + count).map(product).sum::<i32>();
        if self == Mode::Maddubs {
            // Neighbouring sums come out apart when the other is multiplied with zero.
            let pairs = x.dot_pairs(y);
            // SAFETY: the array is two i16.
            let select = |factors: [i16; 2]| pairs.dot(unsafe { I16x8::load_pair_splat(factors.as_ptr()) }).to_array();
            let (even, odd) = (select([1, 0]), select([0, 1]));
            return (0..LANES).all(|i| {
                [(even[i], sum(4 * i, 2)), (odd[i], sum(4 * i + 2, 2))]
                    .iter()
                    .all(|&(actual, expected)| i16::try_from(expected).is_err() || actual == expected)
            });
        }
        let sums = x.dot_add(y, self == Mode::Sdot, I32x4::splat(black_box(PRIOR)));
        sums.to_array() == from_fn(|i| sum(4 * i, 4) + PRIOR)
    }
}

const PROBES: u32 = 32;
/// What a probe adds to.
const PRIOR: i32 = 1 << 20;

/// Bytes to multiply.
struct Probe {
    a: [u8; 4 * LANES],
    b: [u8; 4 * LANES],
}

impl Probe {
    #[inline]
    fn new(seed: u32) -> Probe {
        // The bytes at which readings differ, in ever other company.
        const EDGES: [u8; 8] = [0x80, 0xff, 0x7f, 0x40, 0xc0, 0x01, 0x81, 0xfe];
        let mut state = seed.wrapping_mul(0x9e37_79b9).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            EDGES[(state >> 29) as usize]
        };
        match seed {
            // All at their largest.
            0 => Probe { a: [0x80; 16], b: [0xff; 16] },
            1 => Probe { a: [0x7f; 16], b: [0xff; 16] },
            2 => Probe { a: [0x80; 16], b: [0x80; 16] },
            3 => Probe { a: [0x40; 16], b: [0xff; 16] },
            _ => Probe { a: from_fn(|_| next()), b: from_fn(|_| next()) },
        }
    }
}
