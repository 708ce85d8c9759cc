//! Running other programs, and small file work with errors that name the file.

use crate::{Result, project};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A command that starts in the root of the workspace.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(project::root());
    command
}

/// The cargo that runs this.
pub fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Says what is being done.
pub fn announce(what: &str) {
    eprintln!("==> {what}");
}

/// Runs to the end; a failure names the command.
pub fn run(command: &mut Command) -> Result {
    let status = command.status().map_err(|error| format!("`{}` cannot be started: {error}", describe(command)))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", describe(command))) }
}

/// Runs to the end, shows nothing, gives what it printed; `None` if it cannot be started or fails.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs to the end and gives what it printed, and whether it succeeded.
pub fn capture(command: &mut Command) -> Result<(String, Result)> {
    let cannot = |error| format!("a command cannot be started: {error}");
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(cannot)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let result = output.status.success().then_some(());
    Ok((text, result.ok_or_else(|| format!("`{}` failed ({})", describe(command), output.status))))
}

fn describe(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
}

pub fn write(path: &Path, content: &[u8]) -> Result {
    std::fs::write(path, content).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

pub fn make_folder(path: &Path) -> Result {
    std::fs::create_dir_all(path).map_err(|error| format!("{} cannot be made: {error}", path.display()))
}

pub fn remove_folder(path: &Path) -> Result {
    match std::fs::remove_dir_all(path) {
        Err(error) if path.exists() => Err(format!("{} cannot be removed: {error}", path.display())),
        _ => Ok(()),
    }
}

/// The entries of a folder, sorted by name.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |error| format!("{} cannot be listed: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        paths.push(entry.map_err(fail)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Copies a file into a folder under its own name.
pub fn copy_into(file: &Path, folder: &Path) -> Result {
    let name = file.file_name().ok_or_else(|| format!("{} is no file", file.display()))?;
    write(&folder.join(name), &read(file)?)
}
