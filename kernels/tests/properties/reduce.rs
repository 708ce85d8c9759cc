use crate::{Noise, assert_each, close, config, same};
use fourlane_kernels::reduce::{ReduceOp, reduce};
use fourlane_kernels::reference;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn matches_reference(
        (outer, len, inner) in (0..5usize, 0..=70usize, prop_oneof![Just(1usize), 0..=20usize]),
        poison: bool,
        seed: u64,
    ) {
        let mut noise = Noise::new(seed);
        let mut x = noise.floats(outer * len * inner);
        if poison {
            noise.poison(&mut x);
        }
        for op in [ReduceOp::Mean, ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min] {
            let mut out = vec![-77.0; outer * inner];
            reduce(op, outer, len, inner, &x, &mut out);
            let expected = reference::reduce(op, outer, len, inner, &x);
            let exact = matches!(op, ReduceOp::Max | ReduceOp::Min);
            let tolerance = if exact { 0.0 } else { 1.2e-7 * (len * len) as f32 };
            assert_each(&out, &expected, |_, x, y| same(x, y) || close(x, y, tolerance));
        }
    }
}
