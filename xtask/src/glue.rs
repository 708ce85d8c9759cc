//! One JavaScript glue for all builds of the engine, out of those that wasm-bindgen makes for each.
//!
//! That of a build with threads can do what the other's does, and copies strings out of memory that may be shared before
//! it decodes them. It is changed in three places, so that the package's own JavaScript makes the memory if one is
//! imported, at the first start and at later ones, and gets at the exports.

use crate::Result;

/// The glue for builds without threads, each of them in `single`, and with, each in `threaded`.
pub fn merge(single: &[String], threaded: &[String]) -> Result<String> {
    let ([plain, ..], [glue, ..]) = (single, threaded) else { return Err("there are no builds".into()) };
    let differ = |builds: &[String]| builds.iter().any(|other| *other != builds[0]);
    if differ(single) || differ(threaded) || !interface(plain).eq(interface(glue)) {
        return Err("the builds need different JavaScript glue; one import or export is conditional".into());
    }
    let unknown = |what: &str| format!("wasm-bindgen's glue has changed: it holds no {what}");
    let memory = between(glue, "memory: memory || new WebAssembly.Memory(", "),").ok_or_else(|| unknown("memory"))?;
    let initial = between(memory, "{initial:", ",").ok_or_else(|| unknown("initial size of the memory"))?;
    let changes = [
        (format!("memory: memory || new WebAssembly.Memory({memory}),"), "memory,"),
        ("export function __wbg_reset_state () {".into(), "export function __wbg_reset_state(memory) {"),
        ("(wasmModule, __wbg_get_imports());".into(), "(wasmModule, __wbg_get_imports(memory));"),
    ];
    let mut merged = glue.clone();
    for (from, to) in changes {
        if merged.matches(&from).count() != 1 {
            return Err(unknown(&format!("`{from}`, or several")));
        }
        merged = merged.replace(&from, to);
    }
    merged += &format!("\nexport const initialPages = {initial};\nexport const rawExports = () => wasm;\n");
    Ok(merged)
}

/// The name of an import without the digits at its end, by which wasm-bindgen tells apart those of several crates: bytes
/// that no compression makes fewer. None if it has no such end.
pub fn without_hash(name: &str) -> Option<&str> {
    let (short, hash) = name.rsplit_once('_')?;
    let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    // Numbers, too, are written so.
    (is_hash && !hash.starts_with("0000")).then_some(short)
}

/// The glue with another name for an import.
pub fn rename(glue: &str, from: &str, to: &str) -> Result<String> {
    let (from, to) = (format!("{from}: function("), format!("{to}: function("));
    let is_taken = glue.lines().any(|line| line.trim_start().starts_with(&to));
    if is_taken || glue.matches(&from).count() != 1 {
        return Err(format!("wasm-bindgen's glue has no single `{from}`, or has a `{to}` already"));
    }
    Ok(glue.replace(&from, &to))
}

/// The lines that say what a glue imports into the module and exports from it.
fn interface(glue: &str) -> impl Iterator<Item = &str> {
    glue.lines().map(str::trim).filter(|line| line.starts_with("export ") || line.contains(": function("))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    text.split_once(start)?.1.split_once(end).map(|(found, _)| found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREADED: &str = "export function __wbg_reset_state () {\nnew WebAssembly.Instance(wasmModule, \
        __wbg_get_imports());\n}\n__wbg_f: function(a) {\nmemory: memory || new WebAssembly.Memory({initial:7,maximum:9}),";
    const SINGLE: &str = "export function __wbg_reset_state () {\n}\n__wbg_f: function(a) {\n";

    #[test]
    fn memory_comes_from_outside() {
        let glue = merge(&[SINGLE.into()], &[THREADED.into(), THREADED.into()]).expect("fits");
        assert!(glue.contains("reset_state(memory) {") && glue.contains("__wbg_get_imports(memory)"), "{glue}");
        assert!(glue.contains("\nmemory,\n") && glue.contains("initialPages = 7;"), "{glue}");
    }

    #[test]
    fn hashes_go_and_numbers_stay() {
        assert_eq!(without_hash("__wbg_new_37eb45aaf5eeb820"), Some("__wbg_new"));
        assert_eq!(without_hash("__wbindgen_generic_0000000000000001"), None);
        assert_eq!(without_hash("memory"), None);
        let glue = "{\n__wbg_new_37eb45aaf5eeb820: function() {\n";
        assert_eq!(
            rename(glue, "__wbg_new_37eb45aaf5eeb820", "__wbg_new").as_deref(),
            Ok("{\n__wbg_new: function() {\n")
        );
        assert!(rename(glue, "__wbg_old_37eb45aaf5eeb820", "__wbg_old").is_err());
        let both = format!("{glue}__wbg_new: function() {{\n");
        assert!(rename(&both, "__wbg_new_37eb45aaf5eeb820", "__wbg_new").is_err());
    }

    #[test]
    fn other_interfaces_and_other_glue_are_refused() {
        let other = SINGLE.replace("__wbg_f", "__wbg_g");
        assert!(merge(&[other], &[THREADED.into()]).expect_err("differs").contains("conditional"));
        let changed = THREADED.replace("initial", "minimum");
        assert!(merge(&[SINGLE.into()], &[changed]).expect_err("changed").contains("initial size"));
    }
}
