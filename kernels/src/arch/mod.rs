//! The one place where the instruction set is chosen, at compile time: a WebAssembly module with a single instruction
//! that the engine does not know fails to load, so each set is a build of its own and a loader picks the file.
//!
//! | target features                    | set       | files                                                         |
//! |------------------------------------|-----------|---------------------------------------------------------------|
//! | `wasm32`, `simd128, relaxed-simd`  | `relaxed` | `simd128`, with fused multiply-adds and dots from `relaxed`   |
//! | `wasm32`, `simd128`                | `simd128` | `simd128`, with the counterparts from `strict`                |
//! | everything else, all native targets| `scalar`  | `scalar`: arrays, which the compiler vectorises               |

#[cfg(all(target_arch = "wasm32", target_feature = "simd128", target_feature = "relaxed-simd"))]
#[path = "relaxed.rs"]
mod variant;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(target_feature = "relaxed-simd")))]
#[path = "strict.rs"]
mod variant;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
#[path = "scalar.rs"]
mod lanes;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
#[path = "simd128.rs"]
mod lanes;

pub(crate) use lanes::{BYTE_DOTS, F32x4, FAST_BYTE_DOTS, I8x16, I16x8, I32x4};

/// The instruction set of this build: `"relaxed"`, `"simd128"` or `"scalar"`.
pub const NAME: &str = if cfg!(not(all(target_arch = "wasm32", target_feature = "simd128"))) {
    "scalar"
} else if cfg!(target_feature = "relaxed-simd") {
    "relaxed"
} else {
    "simd128"
};
