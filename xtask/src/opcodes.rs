//! Reads a built engine with a real parser and holds it to its instruction set.
//!
//! One relaxed opcode in the base build and every engine without relaxed SIMD rejects the file; no relaxed
//! multiply-add in the other build and a third of its speed is gone without a test noticing.

use crate::Result;
use crate::build::Variant;
use wasmparser::{Operator, Parser, Payload, Validator, WasmFeatures};

/// Fails if the module does not fit the variant.
pub fn check(wasm: &[u8], variant: &Variant) -> Result {
    let file = format!("fourlane-{}.wasm", variant.name);
    let base = WasmFeatures::WASM2.union(WasmFeatures::SIMD).difference(WasmFeatures::RELAXED_SIMD);
    if !variant.relaxed {
        return validate(wasm, base).map_err(|error| format!("{file} holds opcodes beyond SIMD: {error}"));
    }
    validate(wasm, base.union(WasmFeatures::RELAXED_SIMD)).map_err(|error| format!("{file} is not valid: {error}"))?;
    match relaxed_madds(wasm).map_err(|error| format!("{file} is not valid: {error}"))? {
        0 => Err(format!("{file} holds no f32x4.relaxed_madd; the kernels were built without relaxed SIMD")),
        _ => Ok(()),
    }
}

fn validate(wasm: &[u8], features: WasmFeatures) -> wasmparser::Result<()> {
    Validator::new_with_features(features).validate_all(wasm).map(|_| ())
}

/// How often `f32x4.relaxed_madd` stands in the module.
fn relaxed_madds(wasm: &[u8]) -> wasmparser::Result<usize> {
    let mut count = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload? {
            for operator in body.get_operators_reader()? {
                count += usize::from(matches!(operator?, Operator::F32x4RelaxedMadd));
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::VARIANTS;

    /// A module of one function `[] -> []` with this body.
    fn module(body: &[u8]) -> Vec<u8> {
        let size = u8::try_from(body.len() + 2).expect("a short body");
        let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a".to_vec();
        bytes.extend([size + 2, 1, size, 0]);
        bytes.extend(body);
        bytes.push(0x0b);
        bytes
    }

    const ZERO: [u8; 4] = [0x41, 0, 0xfd, 0x0f];

    fn relaxed_madd() -> Vec<u8> {
        module(&[&ZERO[..], &ZERO, &ZERO, &[0xfd, 0x85, 0x02, 0x1a]].concat())
    }

    fn plain_simd() -> Vec<u8> {
        module(&[&ZERO[..], &[0x1a]].concat())
    }

    #[test]
    fn each_build_passes_with_its_own_opcodes() {
        let [simd128, relaxed] = &VARIANTS;
        assert_eq!(check(&plain_simd(), simd128), Ok(()));
        assert_eq!(check(&relaxed_madd(), relaxed), Ok(()));
    }

    #[test]
    fn a_relaxed_opcode_in_the_base_build_is_found() {
        let error = check(&relaxed_madd(), &VARIANTS[0]).expect_err("must not pass");
        assert!(error.contains("opcodes beyond SIMD"), "{error}");
    }

    #[test]
    fn a_relaxed_build_without_its_multiply_add_is_found() {
        let error = check(&plain_simd(), &VARIANTS[1]).expect_err("must not pass");
        assert!(error.contains("relaxed_madd"), "{error}");
    }

    #[test]
    fn damage_is_an_error() {
        let wasm = relaxed_madd();
        for length in 0..wasm.len() {
            assert!(check(&wasm[..length], &VARIANTS[1]).is_err(), "{length} bytes");
        }
    }
}
