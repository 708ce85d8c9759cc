//! Strided copies and gathers.

use crate::{Noise, config};
use fourlane_kernels::{Element, gather, reference, strided};
use proptest::prelude::*;

/// One axis of a view into a larger tensor.
#[derive(Clone, Copy, Debug)]
struct Axis {
    len: usize,
    /// Elements of the tensor per element of the view; 0 repeats one element.
    step: usize,
    backwards: bool,
    /// Where the axis comes in memory.
    order: u8,
}

fn axis(len: impl Strategy<Value = usize>) -> impl Strategy<Value = Axis> {
    let step = prop_oneof![6 => Just(1usize), 1 => Just(0), 1 => Just(2), 1 => Just(3)];
    (len, step, prop::bool::weighted(0.2), any::<u8>()).prop_map(|(len, step, backwards, order)| Axis {
        len,
        step,
        backwards,
        order,
    })
}

fn views() -> impl Strategy<Value = Vec<Axis>> {
    prop_oneof![prop::collection::vec(axis(0..=5usize), 0..=6), prop::collection::vec(axis(1..=40usize), 2..=3)]
}

/// The strides of a view, and how many elements the tensor below it has.
fn layout(axes: &[Axis]) -> (Vec<isize>, usize) {
    let mut order: Vec<usize> = (0..axes.len()).collect();
    order.sort_by_key(|&axis| axes[axis].order);
    let mut strides = vec![0; axes.len()];
    let mut size = 1;
    for axis in order {
        let Axis { len, step, backwards, .. } = axes[axis];
        strides[axis] = (size * step) as isize * if backwards { -1 } else { 1 };
        size *= (len * step).max(1);
    }
    (strides, size)
}

fn check_copy<T: Element + PartialEq + std::fmt::Debug>(axes: &[Axis], from: impl Fn(u64) -> T) {
    let shape: Vec<usize> = axes.iter().map(|axis| axis.len).collect();
    let (strides, size) = layout(axes);
    let mut noise = Noise::new(size as u64);
    let src: Vec<T> = (0..size).map(|_| from(noise.bits())).collect();
    let mut dst = vec![from(0); shape.iter().product()];
    strided::copy(&shape, &src, &strides, &mut dst);
    assert_eq!(dst, reference::strided_copy(&shape, &src, &strides));
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn copies_match_reference(axes in views()) {
        check_copy(&axes, |bits| bits as u8);
        check_copy(&axes, |bits| bits as u32);
        check_copy(&axes, |bits| bits as i64);
    }

    #[test]
    fn gathers_match_indexing(
        rows in 1..20usize,
        row_len in 1..20usize,
        indices in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        negative: bool,
        seed: u64,
    ) {
        let data = Noise::new(seed).floats(rows * row_len);
        let shift = if negative { rows as i64 } else { 0 };
        let indices: Vec<i64> = indices.iter().map(|index| index.index(rows) as i64 - shift).collect();
        let mut out = vec![0.0; indices.len() * row_len];
        prop_assert_eq!(gather::rows(&data, row_len, &indices, &mut out), Ok(()));
        for (index, row) in indices.iter().zip(out.chunks(row_len)) {
            let start = (index + shift) as usize * row_len;
            prop_assert_eq!(row, &data[start..start + row_len]);
        }
    }
}

#[test]
fn a_matrix_is_transposed() {
    let src = [1u8, 2, 3, 4, 5, 6];
    let mut dst = [0; 6];
    strided::copy(&[3, 2], &src, &[1, 3], &mut dst);
    assert_eq!(dst, [1, 4, 2, 5, 3, 6]);
}

#[test]
fn a_negative_stride_starts_at_the_far_end() {
    let mut dst = [0u32; 3];
    strided::copy(&[3], &[1, 2, 3, 4, 5], &[-2], &mut dst);
    assert_eq!(dst, [5, 3, 1]);
}

#[test]
fn gather_names_the_first_wrong_index() {
    let data = [1u64, 2, 3, 4, 5, 6];
    let mut out = [0; 6];
    assert_eq!(gather::rows(&data, 2, &[2, -3, 3], &mut out), Err(2));
    assert_eq!(out, [5, 6, 1, 2, 0, 0]);
    assert_eq!(gather::rows(&data, 2, &[-4, 0, 0], &mut out), Err(0));
    assert_eq!(gather::rows(&data, 2, &[i64::MIN, 0, 0], &mut out), Err(0));
    assert_eq!(gather::rows::<u8>(&[], 0, &[9], &mut []), Ok(()));
}
