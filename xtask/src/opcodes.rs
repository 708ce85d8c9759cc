//! Reads a built engine with a real parser and holds it to its instruction set.
//!
//! One relaxed opcode in the base build and every engine without relaxed SIMD rejects the file; no relaxed
//! multiply-add or dot product in the other build and a third of its speed is gone without a test noticing.

use crate::Result;
use crate::build::Variant;
use wasmparser::{Operator, Parser, Payload, Validator, WasmFeatures};

/// Fails if the module does not fit the variant.
pub fn check(file: &str, wasm: &[u8], variant: &Variant, threads: bool) -> Result {
    let base = WasmFeatures::WASM2.union(WasmFeatures::SIMD).difference(WasmFeatures::RELAXED_SIMD);
    let base = if threads { base.union(WasmFeatures::THREADS) } else { base.difference(WasmFeatures::THREADS) };
    if !variant.relaxed {
        return validate(wasm, base).map_err(|error| format!("{file} holds opcodes beyond SIMD: {error}"));
    }
    validate(wasm, base.union(WasmFeatures::RELAXED_SIMD)).map_err(|error| format!("{file} is not valid: {error}"))?;
    let missing = missing(wasm).map_err(|error| format!("{file} is not valid: {error}"))?;
    match missing.first() {
        Some(name) => Err(format!("{file} holds no {name}; the kernels were built without relaxed SIMD")),
        None => Ok(()),
    }
}

fn validate(wasm: &[u8], features: WasmFeatures) -> wasmparser::Result<()> {
    Validator::new_with_features(features).validate_all(wasm).map(|_| ())
}

/// The relaxed instructions that the kernels' speed comes from and that do not stand in the module.
fn missing(wasm: &[u8]) -> wasmparser::Result<Vec<&'static str>> {
    let mut missing =
        vec!["f32x4.relaxed_madd", "i32x4.relaxed_dot_i8x16_i7x16_add_s", "i16x8.relaxed_dot_i8x16_i7x16_s"];
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload? {
            for operator in body.get_operators_reader()? {
                let found = match operator? {
                    Operator::F32x4RelaxedMadd => "f32x4.relaxed_madd",
                    Operator::I32x4RelaxedDotI8x16I7x16AddS => "i32x4.relaxed_dot_i8x16_i7x16_add_s",
                    Operator::I16x8RelaxedDotI8x16I7x16S => "i16x8.relaxed_dot_i8x16_i7x16_s",
                    _ => continue,
                };
                missing.retain(|name| *name != found);
            }
        }
    }
    Ok(missing)
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

    /// Each of the instructions that must be there, its result dropped.
    fn relaxed() -> Vec<u8> {
        let madd = [&ZERO[..], &ZERO, &ZERO, &[0xfd, 0x85, 0x02, 0x1a]].concat();
        let dot_add = [&ZERO[..], &ZERO, &ZERO, &[0xfd, 0x93, 0x02, 0x1a]].concat();
        let dot = [&ZERO[..], &ZERO, &[0xfd, 0x92, 0x02, 0x1a]].concat();
        module(&[madd, dot_add, dot].concat())
    }

    fn plain_simd() -> Vec<u8> {
        module(&[&ZERO[..], &[0x1a]].concat())
    }

    #[test]
    fn each_build_passes_with_its_own_opcodes() {
        let [simd128, variant] = &VARIANTS;
        assert_eq!(check("x.wasm", &plain_simd(), simd128, false), Ok(()));
        assert_eq!(check("x.wasm", &relaxed(), variant, false), Ok(()));
    }

    #[test]
    fn a_relaxed_opcode_in_the_base_build_is_found() {
        let error = check("x.wasm", &relaxed(), &VARIANTS[0], false).expect_err("must not pass");
        assert!(error.contains("opcodes beyond SIMD"), "{error}");
    }

    #[test]
    fn a_relaxed_build_without_its_multiply_add_is_found() {
        let error = check("x.wasm", &plain_simd(), &VARIANTS[1], false).expect_err("must not pass");
        assert!(error.contains("relaxed_madd"), "{error}");
    }

    #[test]
    fn damage_is_an_error() {
        let wasm = relaxed();
        for length in 0..wasm.len() {
            assert!(check("x.wasm", &wasm[..length], &VARIANTS[1], false).is_err(), "{length} bytes");
        }
    }
}
