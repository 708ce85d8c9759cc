//! The activations that a GEMM may apply to its result before it is stored.

/// Element-wise function at the end of a GEMM, see [`Epilogue`](crate::gemm::Epilogue).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Activation {
    /// Identity.
    #[default]
    None,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `x / 2 * (1 + erf(x / sqrt 2))`
    Gelu,
    /// `x / 2 * (1 + erf(x / 1.4140625))`: GELU with the square root of 2 that models in half floats have.
    GeluHalf,
    /// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`
    GeluTanh,
    /// `tanh(x)`
    Tanh,
}
