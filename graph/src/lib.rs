//! The model as data, the passes that improve it, the static plan and the executor.
//!
//! A loader builds a [`Model`]; [`Session::new`] improves it, packs its weights and runs it.

mod check;
pub mod dim;
mod error;
mod exec;
pub mod infer;
pub mod ir;
mod open;
mod padding;
pub mod passes;
mod plan;
mod pool;
mod profile;
mod session;
mod sorted;
mod tensor;
#[cfg(test)]
mod testing;
mod weights;

pub use error::Error;
pub use fourlane_kernels::gemm_int8::Mode as IntegerMode;
pub use ir::Model;
pub use open::OpenSession;
pub use profile::{Holds, Region, StepProfile};
pub use session::{Options, Outputs, Report, Session, ShapeReport};
pub use sorted::SortedMap;
pub use tensor::{Data, TensorView};
