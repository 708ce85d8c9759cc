//! Copying a strided view into contiguous memory: transpose, expand, slice.
//!
//! After merging axes (`nest`) the inner loop decides: a stride of 1 is a copy, of 0 a fill, and anything
//! else a gather. When the last axis jumps and the one before it is contiguous, the two are a matrix transpose, which
//! goes through square blocks so that every cache line is used whole on both sides.
//!
//! Only the size of an element matters, so there are three instances, for elements of one, four and eight bytes.

use crate::element::Element;
use crate::nest::Nest;

/// Rows and columns of a transposed block.
const BLOCK: usize = 8;

/// Writes the elements of a view, in row-major order, to `dst`.
///
/// Strides count elements, one for each axis: 0 repeats, a negative one walks backwards. **`src[0]` is the lowest
/// element of the view**, so along an axis of negative stride index 0 is at the far end of `src`.
///
/// # Panics
/// If there are more than [`MAX_RANK`](crate::binary::MAX_RANK) axes, if `dst` does not have the size of `shape`, or
/// if `src` is too short.
pub fn copy<T: Element>(shape: &[usize], src: &[T], src_strides: &[isize], dst: &mut [T]) {
    T::strided_copy(shape, src, src_strides, dst);
}

#[inline(always)]
pub(crate) fn copy_bits<T: Copy>(shape: &[usize], src: &[T], src_strides: &[isize], dst: &mut [T]) {
    assert!(dst.len() == shape.iter().product::<usize>(), "strided copy: dst does not have the size of shape");
    let nest = Nest::new(shape, [src_strides]);
    let [span] = nest.spans();
    assert!(src.len() >= span, "strided copy: src is too short");
    if dst.is_empty() {
        return;
    }
    let (cols, [stride]) = nest.inner(0);
    let (rows, [row_stride]) = nest.inner(1);
    if row_stride == 1 && stride > 1 {
        for (dst, [start]) in dst.chunks_exact_mut(rows * cols).zip(nest.outer(2)) {
            transpose(rows, cols, &src[start..], stride as usize, dst);
        }
        return;
    }
    for (dst, [start]) in dst.chunks_exact_mut(cols).zip(nest.outer(1)) {
        match stride {
            0 => dst.fill(src[start]),
            1 => dst.copy_from_slice(&src[start..start + cols]),
            _ => {
                for (i, to) in dst.iter_mut().enumerate() {
                    *to = src[start.wrapping_add_signed(i as isize * stride)];
                }
            }
        }
    }
}

/// `dst[r, c] = src[c * stride + r]` with contiguous `dst`, `[rows, cols]`.
fn transpose<T: Copy>(rows: usize, cols: usize, src: &[T], stride: usize, dst: &mut [T]) {
    for c in (0..cols).step_by(BLOCK) {
        let width = BLOCK.min(cols - c);
        for r in (0..rows).step_by(BLOCK) {
            let height = BLOCK.min(rows - r);
            for c in c..c + width {
                let column = &src[c * stride + r..][..height];
                for (i, &x) in column.iter().enumerate() {
                    dst[(r + i) * cols + c] = x;
                }
            }
        }
    }
}
