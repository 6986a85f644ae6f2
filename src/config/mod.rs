//! Configuration files to a validated [`SupervisorSpec`].
//!
//! Knows nothing of processes; TOML is named in `raw` alone. Every path given to [`load`] stands for files: a
//! FILE for itself, then `plugins.d/*.toml` beside it; a DIRECTORY for the `*.toml` in it, then for
//! `plugins.d/*.toml` in it; each in the order of their names, hidden ones left out, a file reached twice read
//! once. They lie over the built-in [`DEFAULTS`]: what is read later wins, key by key, but a plugin belongs to
//! one file. All problems are reported at once. The way: `source` → `raw` → `validate`.

mod accounts;
mod confined;
mod dependencies;
mod error;
mod program;
mod raw;
mod report;
mod search;
mod source;
#[cfg(test)]
mod tests;
mod trust;
mod validate;

use std::path::{Path, PathBuf};

use self::program::Programs;
use self::raw::{Layer, RawFile};
use self::report::Report;
use self::source::Source;
use crate::supervisor::SupervisorSpec;

pub use self::error::{ConfigError, Problem};
pub use self::search::default_path;

/// The built-in file: every key with its default and a comment.
pub const DEFAULTS: &str = include_str!("../../configs/plugbus.toml");

/// How problems name the built-in file.
const DEFAULTS_NAME: &str = "configs/plugbus.toml (built in)";

/// A configuration that holds together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Loaded {
    /// What to run.
    pub spec: SupervisorSpec,
    /// What the bus can live with but somebody should know, such as a missing program.
    pub warnings: Vec<Problem>,
    /// The files in the order in which they were read.
    pub files: Vec<PathBuf>,
}

/// Reads files and directories into one validated spec.
///
/// Without any path the spec is that of [`DEFAULTS`]; see [`default_path`]. Programs are searched but not
/// started: one that cannot be found is a warning, since the other plugins can run without it.
///
/// # Errors
/// [`ConfigError`] holds every problem of every file.
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let file = directory.path().join("plugbus.toml");
/// std::fs::write(&file, "[survey]\nintervall = \"2s\"\n")?;
/// let error = plugbus::config::load(&[&file]).unwrap_err();
/// assert!(error.to_string().ends_with(":2:1: survey.intervall: unknown key (did you mean \"interval\"?)"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn load(paths: &[impl AsRef<Path>]) -> Result<Loaded, ConfigError> {
    load_with(paths, &Programs::of_this_process())
}

/// The absolute path of a program as a command in a file of `directory` names it.
///
/// # Errors
/// Why there is none, with the nearest name, in words.
pub fn find_program(program: &str, directory: &Path) -> Result<PathBuf, String> {
    Programs::of_this_process().find(program, directory).map_err(|missing| missing.remark.to_string())
}

fn load_with(paths: &[impl AsRef<Path>], programs: &Programs) -> Result<Loaded, ConfigError> {
    let built_in = Source { path: DEFAULTS_NAME.into(), text: DEFAULTS.to_owned() };
    let (files, unreadable) = source::collect(paths);
    let sources: Vec<_> = std::iter::once(built_in).chain(files).collect();
    let mut loaded = compile(&sources, unreadable, programs)?;
    loaded.spec.trust.lock = trust::lock_path(paths);
    Ok(loaded)
}

/// From texts to a spec; the first source holds the defaults.
/// Reads a text as a file that lies over the defaults; what is wrong with it has its place in it.
#[cfg(all(target_os = "linux", any(feature = "fuzzing", test)))]
pub(crate) fn take_any(text: &str) {
    let built_in = Source { path: DEFAULTS_NAME.into(), text: DEFAULTS.to_owned() };
    let sources = [built_in, Source { path: "a.toml".into(), text: text.to_owned() }];
    if let Err(error) = compile(&sources, vec![], &Programs::new([])) {
        assert!(!error.problems.is_empty() && error.problems.iter().all(|problem| problem.line.is_some()), "{error}");
    }
}

fn compile(sources: &[Source], unreadable: Vec<Problem>, programs: &Programs) -> Result<Loaded, ConfigError> {
    let mut report = Report::new(sources);
    let read: Vec<_> =
        sources.iter().enumerate().map(|(file, source)| raw::read(file, source, &mut report)).collect();
    let complete = unreadable.is_empty() && read.iter().all(Option::is_some);
    let mut merged = RawFile::default();
    for older in read.iter().flatten().rev() {
        merged.fill(older);
    }
    let spec = validate::validate(&merged, complete, programs, &mut report);

    let (spec, warnings) = report.finish(unreadable, spec)?;
    let files = sources.iter().skip(1).map(|source| source.path.clone()).collect();
    Ok(Loaded { spec, warnings, files })
}
