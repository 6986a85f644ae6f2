//! What is about to be started, and which files it is made of.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::Trust;

/// The most files that a plugin may name.
const MAX_FILES: usize = 10_000;

/// How deep a directory that is named may go.
const MAX_DEPTH: usize = 32;

/// Programs that run what their arguments name; numbers after the name are their version.
const INTERPRETERS: [&str; 17] = [
    "python", "pypy", "node", "nodejs", "deno", "bun", "ruby", "perl", "lua", "php", "bash", "sh", "dash", "zsh",
    "ksh", "env", "java",
];

/// A plugin that is about to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its name.
    pub plugin: String,
    /// What has to be known of it.
    pub level: Trust,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// Files, directories and patterns that belong to it beside its program, absolute.
    pub files: Vec<PathBuf>,
    /// Where a program without a slash in its name is looked for.
    pub search: OsString,
}

/// The files of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    /// What is executed.
    pub(super) program: PathBuf,
    /// What an interpreter is given to run.
    pub(super) script: Option<PathBuf>,
    /// What else was named.
    pub(super) files: BTreeSet<PathBuf>,
}

impl Parts {
    /// The file by which the plugin is known: another one is another plugin.
    pub(super) fn main(&self) -> &Path {
        self.script.as_deref().unwrap_or(&self.program)
    }
}

/// Why the files of a subject are not known.
#[derive(Debug)]
pub(super) enum Puzzle {
    /// The program cannot be had: the same as when it is started.
    Program(io::Error),
    /// Something that was named.
    File(PathBuf, String),
}

impl Subject {
    pub(super) fn parts(&self) -> Result<Parts, Puzzle> {
        let name = self.command.first().map(String::as_str).unwrap_or_default();
        let program = self.program(name).map_err(Puzzle::Program)?;
        let script = is_interpreter(name).then(|| self.script()).flatten();
        let mut files = BTreeSet::new();
        for pattern in &self.files {
            expand(pattern, &mut files).map_err(|problem| Puzzle::File(pattern.clone(), problem))?;
        }
        Ok(Parts { program, script, files })
    }

    fn program(&self, name: &str) -> io::Result<PathBuf> {
        if name.contains('/') {
            return Ok(self.cwd.join(name));
        }
        let places = std::env::split_paths(&self.search).map(|directory| self.cwd.join(directory).join(name));
        let found = places.into_iter().find(|path| !name.is_empty() && path.is_file());
        found.ok_or_else(|| Errno::NOENT.into())
    }

    /// The first argument that is a file; what is given as text is none.
    fn script(&self) -> Option<PathBuf> {
        let arguments =
            self.command.iter().skip(1).take_while(|argument| !matches!(argument.as_str(), "-c" | "-m" | "-e"));
        let mut files =
            arguments.filter(|argument| !argument.starts_with('-')).map(|argument| self.cwd.join(argument));
        files.find(|path| path.is_file())
    }
}

fn is_interpreter(program: &str) -> bool {
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.contains(&name)
}

/// The files that a path, a directory or a pattern stands for.
fn expand(pattern: &Path, files: &mut BTreeSet<PathBuf>) -> Result<(), String> {
    let text = pattern.to_str().ok_or("is not UTF-8")?;
    if !text.contains(['*', '?', '[']) {
        return add(pattern, files, 0);
    }
    let mut is_empty = true;
    for path in glob::glob(text).map_err(|error| format!("is no pattern: {error}"))? {
        add(&path.map_err(|error| error.to_string())?, files, 0)?;
        is_empty = false;
    }
    if is_empty { Err("stands for no file".into()) } else { Ok(()) }
}

fn add(path: &Path, files: &mut BTreeSet<PathBuf>, depth: usize) -> Result<(), String> {
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "is not there".to_owned(),
        _ => error.to_string(),
    })?;
    if found.is_file() {
        files.insert(path.to_owned());
        let most = format!("stands for more than {MAX_FILES} files");
        return if files.len() > MAX_FILES { Err(most) } else { Ok(()) };
    }
    if !found.is_dir() {
        return Err("is neither a file nor a directory".into());
    }
    // Followed, links could lead in circles; left out, what lies behind them would not be looked at.
    if depth > 0 && path.is_symlink() {
        return Err(format!("holds a link to a directory, {}: name that directory itself", path.display()));
    }
    if depth > MAX_DEPTH {
        return Err(format!("has directories more than {MAX_DEPTH} deep"));
    }
    for entry in fs::read_dir(path).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        // Python makes these by itself, at any time, from the files beside them.
        if entry.file_name() != "__pycache__" {
            add(&entry.path(), files, depth + 1)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(root: &Path, command: &[&str], files: &[&str]) -> Subject {
        Subject {
            plugin: "text".into(),
            level: Trust::Locked,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            cwd: root.into(),
            files: files.iter().map(|file| root.join(file)).collect(),
            search: "/usr/bin:/bin".into(),
        }
    }

    #[test]
    fn an_interpreters_script_is_its_first_argument_that_is_a_file() {
        let root = tempfile::tempdir().unwrap();
        let script = root.path().join("plugin.py");
        fs::write(&script, "").unwrap();
        let found = |command: &[&str]| subject(root.path(), command, &[]).parts().unwrap().script;
        assert_eq!(found(&["/x/python3.12", "-u", "plugin.py"]), Some(script.clone()));
        assert_eq!(found(&["/x/python3", "-W", "ignore", script.to_str().unwrap(), "x"]), Some(script));
        assert_eq!(found(&["/x/python3", "-m", "plugin.py"]), None);
        assert_eq!(found(&["/bin/bash", "-c", "plugin.py"]), None);
        assert_eq!(found(&["/x/other", "plugin.py"]), None);
    }

    #[test]
    fn files_directories_and_patterns() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a.py", "lib/b.py", "lib/deep/c.py", "lib/__pycache__/b.pyc", "d.txt"] {
            fs::create_dir_all(root.path().join(name).parent().unwrap()).unwrap();
            fs::write(root.path().join(name), "").unwrap();
        }
        let found = |files: &[&str]| match subject(root.path(), &["/bin/x"], files).parts() {
            Ok(parts) => {
                Ok(parts.files.into_iter().map(|path| path.strip_prefix(root.path()).unwrap().to_owned()).collect())
            }
            Err(Puzzle::File(_, problem)) => Err(problem),
            Err(puzzle) => panic!("{puzzle:?}"),
        };
        let paths = |paths: &[&str]| Ok(paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(found(&["lib", "*.py"]), paths(&["a.py", "lib/b.py", "lib/deep/c.py"]));
        assert_eq!(found(&["d.txt", "d.txt"]), paths(&["d.txt"]));
        assert_eq!(found(&["nothing"]), Err("is not there".into()));
        assert_eq!(found(&["*.rs"]), Err("stands for no file".into()));
        assert_eq!(found(&["/dev/null"]), Err("is neither a file nor a directory".into()));
    }

    #[test]
    fn a_plain_name_is_looked_for() {
        let found = |name| subject(Path::new("/"), &[name], &[]).parts().map(|parts| parts.program);
        assert!(found("sh").unwrap().ends_with("sh"));
        assert!(matches!(found("no-such-program"), Err(Puzzle::Program(_))));
        assert!(matches!(found(""), Err(Puzzle::Program(_))));
    }
}
