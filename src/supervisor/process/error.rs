//! Why a process could not be started, in words.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::Launch;

/// Why there is no process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::supervisor) enum SpawnError {
    #[error("no command: there is nothing to start")]
    NoCommand,
    #[error("program not found: {0}")]
    NotFound(String),
    #[error("program not found on PATH: {0}")]
    NotOnPath(String),
    #[error("working directory not usable: {path}: {problem}", path = .path.display())]
    BadDirectory { path: PathBuf, problem: String },
    #[error("interpreter not found: {program} starts with \"#!{interpreter}\"")]
    NoInterpreter { program: String, interpreter: String },
    #[error("loader not found: {0} is a program for another system or architecture")]
    NoLoader(String),
    #[error("not executable: {program}: {problem}")]
    NotExecutable { program: String, problem: &'static str },
    #[error("not a program for this machine: {0} is for another architecture, or a script without #! line")]
    WrongFormat(String),
    #[error("too many processes: the system or the user's limit has no room for another one")]
    TooManyProcesses,
    #[error("too many open files: the supervisor's limit (ulimit -n) has no room for another plugin")]
    TooManyFiles,
    #[error("could not be started: {0}")]
    System(String),
}

impl SpawnError {
    /// Turns the system's number into what a person can act on.
    ///
    /// `ENOENT` and `EACCES` come alike for the program, its interpreter and its directory, so the files are
    /// looked at. They may have changed since; the words then describe what is there now.
    pub(in crate::supervisor) fn diagnose(error: &io::Error, launch: &Launch) -> Self {
        let program = launch.program.clone();
        if program.is_empty() {
            return Self::NoCommand;
        }
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Self::missing(program, &launch.cwd),
            Some(Errno::ACCESS | Errno::PERM | Errno::ISDIR) => Self::denied(program, &launch.cwd),
            Some(Errno::NOEXEC) => Self::WrongFormat(program),
            Some(Errno::AGAIN) => Self::TooManyProcesses,
            Some(Errno::MFILE | Errno::NFILE) => Self::TooManyFiles,
            Some(Errno::NOMEM) => Self::System("out of memory".into()),
            Some(Errno::TOOBIG) => Self::System("its arguments and environment are too long".into()),
            Some(Errno::TXTBSY) => Self::System(format!("{program} is being written to")),
            _ => Self::System(error.to_string()),
        }
    }

    fn missing(program: String, cwd: &Path) -> Self {
        if let Some(error) = Self::bad_directory(cwd) {
            return error;
        }
        let path = Path::new(&program);
        if path.components().count() == 1 {
            return Self::NotOnPath(program);
        }
        // A relative program is looked for where the process is to run.
        let path = cwd.join(path);
        if !path.exists() {
            return Self::NotFound(program);
        }
        match interpreter(&path) {
            Some(interpreter) => Self::NoInterpreter { program, interpreter },
            None => Self::NoLoader(program),
        }
    }

    fn denied(program: String, cwd: &Path) -> Self {
        if let Some(error) = Self::bad_directory(cwd) {
            return error;
        }
        let problem = match fs::metadata(cwd.join(&program)) {
            Ok(found) if found.is_dir() => "it is a directory",
            Ok(found) if !has_execute_bit(&found) => "it lacks the execute permission (chmod +x)",
            Ok(_) => "the system forbids it (a noexec mount, or its interpreter may not be executed)",
            Err(_) => "its directory may not be entered",
        };
        Self::NotExecutable { program, problem }
    }

    fn bad_directory(cwd: &Path) -> Option<Self> {
        if cwd.as_os_str().is_empty() {
            return None;
        }
        let problem = match fs::metadata(cwd) {
            Ok(found) if found.is_dir() => return None,
            Ok(_) => "it is not a directory".into(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "it does not exist".into(),
            Err(error) => error.to_string(),
        };
        Some(Self::BadDirectory { path: cwd.into(), problem })
    }
}

fn has_execute_bit(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    found.mode() & 0o111 != 0
}

/// What stands after `#!`, of a file that starts so.
fn interpreter(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    // The kernel itself reads no more than 256 bytes.
    fs::File::open(path).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}
