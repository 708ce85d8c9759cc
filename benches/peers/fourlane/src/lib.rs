//! fourlane's products as a layer calls them, without a session around, and the loops that tell the machine's peak.
//!
//! Whole models are measured through the npm package.

use bytemuck::cast_slice_mut;
use fourlane_benches::{packed, peak};
use fourlane_graph::ir::{DType, Tensor};
use fourlane_kernels::gemm::{Epilogue, gemm};
use fourlane_kernels::gemm_int8::{self, Accuracy, Int8, Mode, Packing};
use fourlane_onnx::NoExternalData;
use peer_abi::{Matrix, Peer};

/// A right operand, packed as when a model is loaded.
enum Weight {
    F32(Vec<f32>),
    /// So many bytes, in vectors for their alignment.
    I8(usize, Vec<u128>),
}

enum Left {
    F32(Vec<f32>),
    U8(Vec<u8>),
}

enum Output {
    F32(Vec<f32>),
    I32(Vec<i32>),
}

struct Fourlane {
    m: usize,
    k: usize,
    n: usize,
    weight: Weight,
    a: Left,
    c: Output,
    scratch: Vec<i32>,
}

impl Peer for Fourlane {
    fn load(model: Vec<u8>) -> Result<Fourlane, String> {
        let model = fourlane_onnx::load(model.into(), &NoExternalData).map_err(|error| error.to_string())?;
        let is_matrix = |tensor: &&Tensor| tensor.shape.len() == 2;
        let b = model.constants.values().find(is_matrix).ok_or("this is for models that are one product")?;
        let [k, n] = [b.shape[0], b.shape[1]];
        let weight = match b.dtype {
            DType::F32 => Weight::F32(packed(k, n, &b.floats().ok_or("a weight without numbers")?)),
            DType::I8 => {
                let bytes: Vec<i8> = b.data.iter().map(|&byte| byte as i8).collect();
                let b = Int8::I8(&bytes);
                let packing = Packing::fastest(Mode::best(), Accuracy::Exact, k, n, b, n, 1);
                let mut panels = vec![0u128; packing.len().div_ceil(16)];
                packing.pack(b, n, 1, &mut cast_slice_mut(&mut panels)[..packing.len()]);
                Weight::I8(packing.len(), panels)
            }
            other => return Err(format!("a weight of {}", other.name())),
        };
        Ok(Fourlane { m: 0, k, n, weight, a: Left::F32(Vec::new()), c: Output::F32(Vec::new()), scratch: Vec::new() })
    }

    fn set_tokens(&mut self, _: usize, _: usize, _: &[i64], _: &[i64]) -> Result<(), String> {
        Err("whole models run through the npm package".into())
    }

    fn set_matrix(&mut self, m: usize, k: usize, a: Matrix) -> Result<(), String> {
        if k != self.k {
            return Err(format!("k is {}", self.k));
        }
        self.m = m;
        self.scratch = vec![0; gemm_int8::scratch_len(m, k)];
        (self.a, self.c) = match a {
            Matrix::F32(a) => (Left::F32(a.to_vec()), Output::F32(vec![0.0; m * self.n])),
            Matrix::U8(a) => (Left::U8(a.to_vec()), Output::I32(vec![0; m * self.n])),
        };
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        let &mut Fourlane { m, k, n, .. } = self;
        match (&self.a, &self.weight, &mut self.c) {
            (Left::F32(a), Weight::F32(b), Output::F32(c)) => gemm(m, n, k, a, k, b, c, n, &Epilogue::default()),
            (Left::U8(a), Weight::I8(len, b), Output::I32(c)) => {
                let b = &bytemuck::cast_slice(b)[..*len];
                gemm_int8::gemm_i32(m, n, k, Int8::U8(a), k, &[0], b, &[], c, n, &mut self.scratch);
            }
            _ => return Err("the operands are of other types than the product".into()),
        }
        Ok(())
    }

    fn output(&self) -> Result<Vec<f64>, String> {
        Ok(match &self.c {
            Output::F32(c) => c.iter().map(|&x| x.into()).collect(),
            Output::I32(c) => c.iter().map(|&x| x.into()).collect(),
        })
    }
}

peer_abi::export!(Fourlane);

/// Runs the fastest float loop of this build.
#[unsafe(no_mangle)]
extern "C" fn peak_run(rounds: u32) {
    let probe = float_probe();
    std::hint::black_box((probe.run)(rounds));
}

/// Operations in a round of it.
#[unsafe(no_mangle)]
extern "C" fn peak_operations() -> f64 {
    float_probe().operations
}

/// The fused multiply-add where there is one: it comes last.
fn float_probe() -> peak::Probe {
    let mut probes = peak::probes();
    probes.retain(|probe| probe.float);
    probes.pop().expect("every build has a float loop")
}
