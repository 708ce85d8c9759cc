//! What the linker leaves to do for a file that is sent compressed: of equal functions one is kept, and functions that
//! are alike lie side by side.
//!
//! Brotli names what it repeats by how long ago that was: the nearer, the fewer bits. The linker orders functions by crate and
//! wasm-bindgen by length; here each is followed by the one that has most in common with it and with those just before,
//! a chain as in the nearest-neighbour tour of a travelling salesman. What two bodies have in common are sequences of
//! [`GRAM`] bytes, rarer ones counting more (tf-idf, as in text search), in proportion to the length of the follower.
//! How functions run is not touched.

use crate::Result;
use std::collections::HashMap;
use std::convert::Infallible;
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{CodeSection, FunctionSection, Module};
use wasmparser::{CodeSectionReader, FunctionBody, FunctionSectionReader, Parser, Payload, TypeRef};

/// Bytes of a sequence that counts as something in common. 4 measures the same, 8 is 0.4 % worse.
const GRAM: usize = 5;
/// Sequences that stand in more functions tell nothing.
const COMMON: usize = 300;
/// What the functions before the last one count for, each half of the one after it.
const DECAY: f32 = 0.5;
/// Keeps short functions, of which everything is in any other, from coming first.
const SHORT: f32 = 50.0;

/// What reading and writing modules gives.
type Encoded<T = ()> = std::result::Result<T, Error>;

/// The module with its functions arranged; what it does stays the same.
pub fn arrange(wasm: &[u8]) -> Result<Vec<u8>> {
    let fail = |error: Error| format!("the engine's functions cannot be arranged: {error}");
    let mut arrangement = Arrangement::default();
    let bodies = arrangement.read(wasm).map_err(|error| fail(error.into()))?;
    let bodies = arrangement.merge_equal(&bodies).map_err(fail)?;
    arrangement.order = chain(&bodies, &arrangement.kept());
    arrangement.renumber();
    let mut module = Module::new();
    arrangement.parse_core_module(&mut module, Parser::new(0), wasm).map_err(fail)?;
    Ok(module.finish())
}

/// Where functions go. Those of the module itself count from 0 here; in the module they come after imported ones.
#[derive(Default)]
struct Arrangement {
    imported: u32,
    /// The index of each function's type.
    types: Vec<u32>,
    /// The index that stands for each function in the module.
    index: Vec<u32>,
    /// The functions that are left, as they follow one another.
    order: Vec<usize>,
}

impl Arrangement {
    fn read<'a>(&mut self, wasm: &'a [u8]) -> wasmparser::Result<Vec<FunctionBody<'a>>> {
        let mut bodies = Vec::new();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        self.imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::FunctionSection(section) => {
                    self.types = section.into_iter().collect::<wasmparser::Result<_>>()?
                }
                Payload::CodeSectionEntry(body) => bodies.push(body),
                _ => {}
            }
        }
        self.index = (self.imported..).take(bodies.len()).collect();
        Ok(bodies)
    }

    /// Lets the first of equal functions stand for the others, until none are equal: callers of equal ones may be, too.
    /// Gives the bodies.
    fn merge_equal(&mut self, bodies: &[FunctionBody]) -> Encoded<Vec<Vec<u8>>> {
        loop {
            let mut encoded = Vec::with_capacity(bodies.len());
            for body in bodies {
                let mut function = self.new_function_with_parsed_locals(body)?;
                let mut reader = body.get_operators_reader()?;
                while !reader.eof() {
                    function.instruction(&self.parse_instruction(&mut reader)?);
                }
                encoded.push(function.into_raw_body());
            }
            let mut first = HashMap::new();
            let functions = (self.imported..).zip(self.types.iter().zip(&encoded));
            let index: Vec<u32> = functions.map(|(index, function)| *first.entry(function).or_insert(index)).collect();
            if index == self.index {
                return Ok(encoded);
            }
            self.index = index;
        }
    }

    /// The functions that stand for themselves.
    fn kept(&self) -> Vec<usize> {
        (0..self.index.len()).filter(|&function| self.index[function] == self.imported + function as u32).collect()
    }

    /// Makes indices of `order`.
    fn renumber(&mut self) {
        let mut place = vec![0; self.index.len()];
        for (index, &function) in (self.imported..).zip(&self.order) {
            place[function] = index;
        }
        for index in &mut self.index {
            *index = place[(*index - self.imported) as usize];
        }
    }
}

impl Reencode for Arrangement {
    type Error = Infallible;

    fn function_index(&mut self, index: u32) -> Encoded<u32> {
        Ok(index.checked_sub(self.imported).map_or(index, |function| self.index[function as usize]))
    }

    fn parse_function_section(&mut self, to: &mut FunctionSection, _: FunctionSectionReader<'_>) -> Encoded {
        for &function in &self.order {
            to.function(self.types[function]);
        }
        Ok(())
    }

    fn parse_code_section(&mut self, to: &mut CodeSection, section: CodeSectionReader<'_>) -> Encoded {
        let bodies = section.into_iter().collect::<wasmparser::Result<Vec<_>>>()?;
        for function in self.order.clone() {
            utils::parse_function_body(self, to, bodies[function].clone())?;
        }
        Ok(())
    }
}

/// An order of the functions `kept` in which each is like those before it.
fn chain(bodies: &[Vec<u8>], kept: &[usize]) -> Vec<usize> {
    // For each sequence the functions that it stands in, and for each function its sequences.
    let mut pairs: Vec<(&[u8], usize)> = Vec::new();
    for &function in kept {
        pairs.extend(bodies[function].windows(GRAM).map(|gram| (gram, function)));
    }
    pairs.sort_unstable();
    pairs.dedup();
    let grams: Vec<&[(&[u8], usize)]> =
        pairs.chunk_by(|a, b| a.0 == b.0).filter(|g| (2..=COMMON).contains(&g.len())).collect();
    let weight = |gram: &[(&[u8], usize)]| (kept.len() as f32 / gram.len() as f32).ln();
    let mut length = vec![SHORT; bodies.len()];
    let mut within = vec![Vec::new(); bodies.len()];
    for &gram in &grams {
        for &(_, function) in gram {
            length[function] += weight(gram);
            within[function].push(gram);
        }
    }

    let mut left = kept.to_vec();
    let mut order = Vec::with_capacity(kept.len());
    // How much of what came before is in each function.
    let mut common = vec![0.0; bodies.len()];
    let mut next = (0..left.len()).max_by_key(|&place| bodies[left[place]].len());
    while let Some(place) = next {
        let function = left.swap_remove(place);
        order.push(function);
        common.iter_mut().for_each(|value| *value *= DECAY);
        for gram in &within[function] {
            for &(_, other) in *gram {
                common[other] += weight(gram);
            }
        }
        let likeness = |&place: &usize| common[left[place]] / length[left[place]];
        next = (0..left.len()).max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use wasm_encoder::{ExportKind, ExportSection, Function, Instruction, TypeSection, ValType};
    use wasmparser::{Operator, Validator};

    /// A module whose functions take nothing and give an i32: each a constant, or what another function gives.
    fn module(functions: &[(&str, Instruction)]) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], [ValType::I32]);
        let (mut list, mut exports, mut code) = (FunctionSection::new(), ExportSection::new(), CodeSection::new());
        for (index, (name, instruction)) in (0..).zip(functions) {
            list.function(0);
            exports.export(name, ExportKind::Func, index);
            let mut body = Function::new([]);
            body.instruction(instruction).instruction(&Instruction::End);
            code.function(&body);
        }
        let mut module = Module::new();
        module.section(&types).section(&list).section(&exports).section(&code);
        module.finish()
    }

    /// What each export gives, and how many functions there are.
    fn results(wasm: &[u8]) -> (BTreeMap<String, i32>, usize) {
        Validator::new().validate_all(wasm).expect("a valid module");
        let (mut exports, mut bodies) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.expect("a valid module") {
                Payload::ExportSection(section) => {
                    exports.extend(section.into_iter().map(|export| export.expect("valid")))
                }
                Payload::CodeSectionEntry(body) => {
                    bodies.push(body.get_operators_reader().and_then(|mut reader| reader.read()).expect("valid"));
                }
                _ => {}
            }
        }
        let value = |mut function: u32| loop {
            match bodies[function as usize] {
                Operator::Call { function_index } => function = function_index,
                Operator::I32Const { value } => break value,
                ref other => panic!("{other:?} is not of this test"),
            }
        };
        (exports.iter().map(|export| (export.name.to_owned(), value(export.index))).collect(), bodies.len())
    }

    #[test]
    fn equal_functions_become_one_and_all_mean_the_same() {
        use Instruction::{Call, I32Const};
        let functions = [
            ("one", I32Const(1)),
            ("two", I32Const(2)),
            ("calls one", Call(0)),
            ("one again", I32Const(1)),
            ("calls one again", Call(3)),
            ("calls two", Call(1)),
            ("calls what calls one", Call(4)),
        ];
        let before = module(&functions);
        let after = arrange(&before).expect("a module to arrange");
        assert_eq!(results(&before), (results(&after).0, functions.len()));
        assert_eq!(results(&after).1, 5);
    }

    #[test]
    fn alike_functions_become_neighbours() {
        let [a, b] = [[b'a'; 60], [b'b'; 60]].map(|letters| letters.to_vec());
        let bodies: Vec<Vec<u8>> =
            [&a, &b, &a, &b].iter().zip(1..).map(|(text, n)| [text, &[n; 9][..]].concat()).collect();
        let order = chain(&bodies, &[0, 1, 2, 3]);
        let places: Vec<usize> =
            (0..4).map(|f| order.iter().position(|&place| place == f).expect("all are placed")).collect();
        assert_eq!([places[0].abs_diff(places[2]), places[1].abs_diff(places[3])], [1, 1]);
    }

    #[test]
    fn what_is_not_a_module_is_an_error() {
        assert!(arrange(b"\0asm\x01\0\0\0\x0a\x05").is_err_and(|error| error.contains("cannot be arranged")));
    }
}
