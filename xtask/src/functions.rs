//! `cargo xtask size --functions`: where the bytes of the engine are, by crate, module, generic function, function and data
//! segment.
//!
//! The engine is built like the one that ships, but with names. What a function costs a page is not its length: a
//! loop that looks like its neighbour nearly vanishes. So each row also says by how many bytes the compressed file
//! shrinks without it. The rows of a table do not add up to the whole: of two equal functions, either one is free.

use crate::Result;
use crate::build::{self, Variant};
use crate::size::brotli;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

/// Rows of the tables of functions.
const ROWS: usize = 60;
/// Of brotli, for differences: 11 would take minutes.
const QUALITY: u32 = 9;

/// A function body, with the name that the compiler gave it.
struct Function {
    name: String,
    body: Range<usize>,
}

/// The parts of a module that take room.
struct Module {
    /// All sections but the custom ones.
    bytes: Vec<u8>,
    functions: Vec<Function>,
    data: Vec<Range<usize>>,
}

/// Functions that are counted together.
#[derive(Default)]
struct Group {
    functions: usize,
    raw: usize,
    brotli: usize,
    bodies: Vec<Range<usize>>,
}

pub fn report(variant: &Variant, features: &[String]) -> Result {
    let (named, _) = build::compile(variant, false, features, true)?;
    let module = parse(&named).map_err(|error| format!("the engine cannot be read: {error}"))?;
    let code: usize = module.functions.iter().map(|function| function.body.len()).sum();
    let data: usize = module.data.iter().map(Range::len).sum();
    println!(
        "fourlane-{}.wasm: {} bytes, {} in brotli; {} functions of {code} bytes, {} data segments of {data} bytes",
        variant.name,
        module.bytes.len(),
        brotli(&module.bytes, 11)?,
        module.functions.len(),
        module.data.len(),
    );
    let whole = brotli(&module.bytes, QUALITY)?;

    print(&module, whole, "crate", usize::MAX, |name| Some(path(name).split("::").next().unwrap_or_default().into()))?;
    print(&module, whole, "module", ROWS, |name| Some(parent(&path(name)).into()))?;
    print(&module, whole, "generic function", ROWS / 2, |name| {
        let plain = generic(name);
        (plain != without_hash(name)).then_some(plain)
    })?;
    print(&module, whole, "function", ROWS, |name| Some(without_hash(name).into()))?;
    println!("\n{:>9} {:>9}  data segment", "raw", "brotli");
    for (index, range) in module.data.iter().enumerate() {
        let without = brotli(&cut(&module.bytes, std::slice::from_ref(range)), QUALITY)?;
        println!("{:>9} {:>9}  {index}", range.len(), whole.saturating_sub(without));
    }
    Ok(())
}

/// A table of the functions grouped by what `key` makes of their names, largest first.
fn print(module: &Module, whole: usize, title: &str, rows: usize, key: impl Fn(&str) -> Option<String>) -> Result {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for function in &module.functions {
        if let Some(key) = key(&function.name) {
            let group = groups.entry(key).or_default();
            group.functions += 1;
            group.raw += function.body.len();
            group.bodies.push(function.body.clone());
        }
    }
    let mut groups: Vec<(String, Group)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.raw));
    groups.truncate(rows);
    for (_, group) in &mut groups {
        group.brotli = whole.saturating_sub(brotli(&cut(&module.bytes, &group.bodies), QUALITY)?);
    }
    println!("\n{:>9} {:>9} {:>5}  {title}", "raw", "brotli", "count");
    for (name, group) in &groups {
        println!("{:>9} {:>9} {:>5}  {name}", group.raw, group.brotli, group.functions);
    }
    Ok(())
}

/// `bytes` without `ranges`, which are in ascending order.
fn cut(bytes: &[u8], ranges: &[Range<usize>]) -> Vec<u8> {
    let mut left = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for range in ranges {
        left.extend(&bytes[from..range.start]);
        from = range.end;
    }
    left.extend(&bytes[from..]);
    left
}

fn parse(wasm: &[u8]) -> wasmparser::Result<Module> {
    let mut module = Module { bytes: wasm[..8].to_vec(), functions: Vec::new(), data: Vec::new() };
    let mut names: HashMap<u32, String> = HashMap::new();
    let mut imports = 0;
    // Where the section at hand begins: what of it is read next lies this far from where it will lie.
    let mut start = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let Some((id, range)) = payload.as_section()
            && id != 0
        {
            // Its header, which the parser skips, is its id and its length.
            let mut header = range.start - 1;
            while wasm[header - 1] & 0x80 != 0 {
                header -= 1;
            }
            header -= 1;
            start = module.bytes.len() as isize - header as isize;
            module.bytes.extend(&wasm[header..range.end]);
        }
        let placed = |range: Range<usize>| range.start.wrapping_add_signed(start)..range.end.wrapping_add_signed(start);
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imports += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => {
                module.functions.push(Function { name: String::new(), body: placed(body.range()) });
            }
            Payload::DataSection(section) => {
                for segment in section {
                    module.data.push(placed(segment?.range));
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::Name(subsections) = section.as_known() {
                    for subsection in subsections {
                        if let Name::Function(map) = subsection? {
                            for naming in map {
                                let naming = naming?;
                                names.insert(naming.index, naming.name.to_owned());
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
    for (index, function) in (imports..).zip(&mut module.functions) {
        function.name = names.remove(&index).unwrap_or_else(|| format!("function {index}"));
    }
    Ok(module)
}

/// A name without the hash that ends it: `::h0123456789abcdef`.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((rest, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => rest,
        _ => name,
    }
}

/// A name without its generic arguments: `alloc::vec::Vec<T>::push` for `<alloc::vec::Vec<u8>>::push`.
fn generic(name: &str) -> String {
    let name = without_hash(name);
    let mut plain = String::new();
    let mut depth = 0_usize;
    // The type that an implementation is for stands in angle brackets, too, in front.
    let outer = usize::from(name.starts_with('<'));
    let mut before = ' ';
    for letter in name.chars() {
        match letter {
            '<' => {
                depth += 1;
                if depth > outer {
                    plain.push_str(if depth == outer + 1 { "<" } else { "" });
                }
            }
            // Not the arrow of a function type.
            '>' if before != '-' => {
                if depth == outer + 1 {
                    plain.push_str("_>");
                }
                depth = depth.saturating_sub(1);
            }
            _ if depth <= outer => plain.push(letter),
            _ => {}
        }
        before = letter;
    }
    plain
}

/// Crate, module and item, of the type for a method: `fourlane_graph::plan::Plan::new`.
fn path(name: &str) -> String {
    let name = generic(name);
    let name = name.split(" as ").next().unwrap_or_default();
    name.trim_start_matches(['<', '&', '*', '(', '[']).trim_start_matches("mut ").to_owned()
}

fn parent(path: &str) -> &str {
    let end = path.match_indices("::").nth(2).map_or(path.len(), |(at, _)| at);
    let short = &path[..end];
    // A module is in lower case; what is below it is a type or a function.
    let mut parts = short.split("::");
    let mut length = parts.next().map_or(0, str::len);
    for part in parts.clone().take(parts.count().saturating_sub(usize::from(end == path.len()))) {
        if !part.starts_with(|letter: char| letter.is_ascii_lowercase()) {
            break;
        }
        length += 2 + part.len();
    }
    &short[..length]
}
