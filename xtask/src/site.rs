//! The demo page as a folder of static files, `target/demo`, with the package and the model inside.
//!
//! Any static server can serve it, from any folder: all its addresses are relative. The service worker gets the list of
//! the files with their digests, by which it tells a new version from an old one.

use crate::shell::{copy_into, list, make_folder, remove_folder};
use crate::{Result, project, shell, tools};
use std::path::{Path, PathBuf};

/// Writes the digests of the files that the page is made of, which are not all that is there, into `sw.js`.
const DIGEST: &str = "
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
const site = process.argv[1];
const isPart = (path) =>
  /[.](html|css|js|json|csv|svg|webmanifest|wasm|onnx)$/.test(path) && !/(^sw[.]js|package[.]json)$/.test(path);
const paths = readdirSync(site, { recursive: true }).map((path) => path.replaceAll('\\\\', '/')).filter(isPart).sort();
const digest = (path) => `sha256-${createHash('sha256').update(readFileSync(`${site}/${path}`)).digest('base64')}`;
const files = JSON.stringify(Object.fromEntries(paths.map((path) => [path, digest(path)])), null, 2);
const worker = readFileSync(`${site}/sw.js`, 'utf8');
if (!worker.includes('const FILES = {};')) throw new Error('sw.js has no place for the files');
writeFileSync(`${site}/sw.js`, worker.replace('const FILES = {};', () => `const FILES = ${files};`));
";

/// What only people and compilers read.
const NOT_SERVED: [&str; 4] = ["node.js", "package.json", "README.md", "screenshot.png"];

/// Puts the folder together, from the package as it is, and gives its path.
pub fn assemble() -> Result<PathBuf> {
    let site = project::target().join("demo");
    remove_folder(&site)?;
    copy(&project::bindings().join("demo"), &site)?;
    copy(&project::package(), &site.join("pkg"))?;
    let mut node = tools::node()?;
    shell::run(node.args(["--input-type=module", "-e", DIGEST]).arg(&site))?;
    Ok(site)
}

/// Copies a folder, but for [`NOT_SERVED`] and types.
fn copy(from: &Path, to: &Path) -> Result {
    make_folder(to)?;
    for path in list(from)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else if !name.ends_with(".d.ts") && !NOT_SERVED.contains(&name.as_str()) {
            copy_into(&path, to)?;
        }
    }
    Ok(())
}
