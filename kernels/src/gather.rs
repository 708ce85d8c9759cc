//! Rows of a table by index: embeddings.

use crate::element::Element;

/// Copies row `indices[i]` of `data`, `[rows, row_len]`, to row `i` of `out`, `[indices.len(), row_len]`.
///
/// A negative index counts from the end. If `row_len` is 0 there is nothing to copy and no index is wrong.
///
/// # Errors
/// The position of the first index outside of `-rows..rows`; `out` then holds the rows before it.
///
/// # Panics
/// If `out` does not have `indices.len() * row_len` elements.
pub fn rows<T: Element>(data: &[T], row_len: usize, indices: &[i64], out: &mut [T]) -> Result<(), usize> {
    T::gather_rows(data, row_len, indices, out)
}

#[inline(always)]
pub(crate) fn rows_bits<T: Copy>(data: &[T], row_len: usize, indices: &[i64], out: &mut [T]) -> Result<(), usize> {
    assert!(Some(out.len()) == indices.len().checked_mul(row_len), "gather: out is not [indices, row_len]");
    if row_len == 0 {
        return Ok(());
    }
    let rows = (data.len() / row_len) as i64;
    for ((position, &index), out) in indices.iter().enumerate().zip(out.chunks_exact_mut(row_len)) {
        if !(-rows..rows).contains(&index) {
            return Err(position);
        }
        let row = if index < 0 { index + rows } else { index } as usize;
        out.copy_from_slice(&data[row * row_len..][..row_len]);
    }
    Ok(())
}
