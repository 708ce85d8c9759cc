//! Hand-written SIMD kernels for transformer inference on four f32 lanes: slices in, slices out.
//!
//! The crate knows nothing of graphs, of ONNX or of JavaScript. Every public function is safe, allocates nothing,
//! keeps no state, and checks the lengths of its slices once before it enters unchecked loops. Lengths come from the
//! caller's own shapes, so a wrong one is a bug there and panics; *values* never make a kernel panic, whatever they
//! are.
//!
//! Matrices are row-major. A stride counts elements between the starts of two rows and may exceed the row's length.
//!
//! One algorithm per operation, written over a minimal vector type (`vector.rs`) that three instruction sets implement
//! (`arch/`): plain Rust, WebAssembly `simd128`, and `simd128` with `relaxed-simd`. The target features of the build
//! choose one, since a WebAssembly module is validated whole. Integer kernels give the same bits on all of them; float
//! kernels may differ by rounding, because only relaxed SIMD has a fused multiply-add.

mod activation;
mod ahead;
mod arch;
pub mod attention;
pub mod binary;
mod element;
mod epilogue;
pub mod gather;
pub mod gemm;
pub mod gemm_blocks;
pub mod gemm_half;
pub mod gemm_heads;
pub mod gemm_int8;
pub mod layer_norm;
pub mod literal;
mod math;
mod nest;
mod parallel;
pub mod quantize;
pub mod reduce;
#[doc(hidden)]
pub mod reference;
mod slices;
pub mod softmax;
pub mod strided;
pub mod unary;
mod vector;

pub use activation::Activation;
pub use arch::NAME as INSTRUCTION_SET;
pub use element::Element;
pub use parallel::threads;
