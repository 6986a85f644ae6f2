//! Finds the program that a command names, without starting it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::report::{Remark, nearest, quote};

/// Looking for the nearest name must not read a directory of a million files.
const MAX_CANDIDATES: usize = 20_000;

/// Where programs without a slash in their name are searched, in order.
#[derive(Debug)]
pub(super) struct Programs {
    directories: Vec<PathBuf>,
}

/// A program that cannot be started as things are.
#[derive(Debug)]
pub(super) struct Missing {
    /// What to try anyway, so that the start fails with the system's own words.
    pub(super) path: PathBuf,
    pub(super) remark: Remark,
}

impl Programs {
    /// Beside the running executable, one directory above it, then `$PATH`.
    ///
    /// A fresh build has its plugins beside `plugbus`, and its examples and tests one directory deeper.
    pub(super) fn of_this_process() -> Self {
        let executable = std::env::current_exe().unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = executable.ancestors().skip(1).take(2).map(Path::to_owned);
        Self::new(own.chain(std::env::split_paths(&path)))
    }

    /// A relative directory is left out: what runs must not depend on where somebody stands.
    pub(super) fn new(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        Programs { directories: directories.into_iter().filter(|directory| directory.is_absolute()).collect() }
    }

    /// The absolute path of a program; `base` is where a relative one starts.
    pub(super) fn find(&self, program: &str, base: &Path) -> Result<PathBuf, Missing> {
        if program.contains('/') {
            return at(tidy(&base.join(program)));
        }
        let mut unfit = None;
        for path in self.directories.iter().map(|directory| directory.join(program)) {
            match flaw(&path) {
                None => return Ok(path),
                Some(why) if why != NO_FILE => unfit = unfit.or(Some((path, why))),
                Some(_) => {}
            }
        }
        let why = match unfit {
            Some((path, why)) => format!("{} {why}", quote(&path.to_string_lossy())),
            None => format!("no program {} beside plugbus or in $PATH", quote(program)),
        };
        let suggestion = nearest_in(&self.directories, program.as_ref());
        Err(Missing { path: program.into(), remark: Remark { message: why, suggestion } })
    }
}

fn at(path: PathBuf) -> Result<PathBuf, Missing> {
    let Some(why) = flaw(&path) else { return Ok(path) };
    let name = path.file_name().unwrap_or_default();
    let suggestion = path.parent().and_then(|parent| nearest_in(&[parent.to_owned()], name));
    let message = format!("{} {why}", quote(&path.to_string_lossy()));
    Err(Missing { path, remark: Remark { message, suggestion } })
}

const NO_FILE: &str = "does not exist";

/// Why a file cannot be started, if so.
fn flaw(path: &Path) -> Option<&'static str> {
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some("may not be looked at"),
        Err(_) => Some(NO_FILE),
        Ok(metadata) if metadata.is_dir() => Some("is a directory, not a program"),
        Ok(metadata) if !metadata.is_file() => Some("is not a program"),
        Ok(_) if rustix::fs::access(path, Access::EXEC_OK).is_err() => Some("is not executable: try chmod +x"),
        Ok(_) => None,
    }
}

fn nearest_in(directories: &[PathBuf], name: &OsStr) -> Option<String> {
    let entries = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten().flatten();
    let names = entries.take(MAX_CANDIDATES).filter_map(|entry| entry.file_name().into_string().ok());
    let wanted = name.to_str()?;
    nearest(wanted, names.filter(|name| name != wanted))
}

/// Without the `.` parts, which would only be in the way in messages.
pub(super) fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_directories_are_searched() {
        let programs = Programs::new(["bin", "", ".", "/bin"].map(PathBuf::from));
        assert_eq!(programs.directories, [Path::new("/bin")]);
    }

    #[test]
    fn beside_this_executable_and_one_above_come_first() {
        let executable = std::env::current_exe().unwrap();
        let beside = executable.parent().unwrap();
        let programs = Programs::of_this_process();
        assert_eq!(programs.directories[..2], [beside, beside.parent().unwrap()]);
        let name = executable.file_name().unwrap().to_str().unwrap();
        assert_eq!(programs.find(name, Path::new("/")).unwrap(), executable);
    }
}
