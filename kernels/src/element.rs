//! The element types of kernels that only move data.
//!
//! These kernels care about an element's size alone, and each size has one instance. Rows, with which every text begins, are
//! gathered by code that is compiled in this crate and optimised as it is; what is `#[inline]` is compiled, for size, with
//! the crate that calls it.

use crate::{gather, strided};
use bytemuck::{Pod, cast_slice, cast_slice_mut};

/// A number of one, four or eight bytes.
pub trait Element: Pod {
    #[doc(hidden)]
    fn strided_copy(shape: &[usize], src: &[Self], src_strides: &[isize], dst: &mut [Self]);
    #[doc(hidden)]
    fn gather_rows(data: &[Self], row_len: usize, indices: &[i64], out: &mut [Self]) -> Result<(), usize>;
}

macro_rules! elements {
    ($($bits:ident as $strided_copy:ident, $gather_rows:ident: $($type:ident)*;)*) => {$(
        #[inline]
        fn $strided_copy(shape: &[usize], src: &[$bits], src_strides: &[isize], dst: &mut [$bits]) {
            strided::copy_bits(shape, src, src_strides, dst)
        }

        #[inline(never)]
        fn $gather_rows(data: &[$bits], row_len: usize, indices: &[i64], out: &mut [$bits]) -> Result<(), usize> {
            gather::rows_bits(data, row_len, indices, out)
        }

        $(impl Element for $type {
            #[inline]
            fn strided_copy(shape: &[usize], src: &[Self], src_strides: &[isize], dst: &mut [Self]) {
                $strided_copy(shape, cast_slice(src), src_strides, cast_slice_mut(dst))
            }

            #[inline]
            fn gather_rows(data: &[Self], row_len: usize, indices: &[i64], out: &mut [Self]) -> Result<(), usize> {
                $gather_rows(cast_slice(data), row_len, indices, cast_slice_mut(out))
            }
        })*
    )*};
}

elements! {
    u8 as strided_copy_8, gather_rows_8: u8 i8;
    u32 as strided_copy_32, gather_rows_32: u32 i32 f32;
    u64 as strided_copy_64, gather_rows_64: u64 i64;
}
