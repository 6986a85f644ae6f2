//! Where a plugin's variables come from: a few of the supervisor's, then its files.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::supervisor::confinement::PASSED_ON;

/// The largest file of variables, in bytes: people write these, and a program is given no more than 2 MiB.
const MAX_FILE: u64 = 64 * 1024;

/// Those of the supervisor's variables that are passed on.
pub(super) fn passed_on(pass: &[String]) -> impl Iterator<Item = (OsString, OsString)> {
    let patterns = PASSED_ON.iter().copied().chain(pass.iter().map(String::as_str));
    let patterns: Vec<_> = patterns.filter_map(|pattern| glob::Pattern::new(pattern).ok()).collect();
    std::env::vars_os().filter(move |(name, _)| is_passed_on(name, &patterns))
}

fn is_passed_on(name: &OsStr, patterns: &[glob::Pattern]) -> bool {
    // A supervisor may itself be somebody's plugin; its identity is not its children's.
    // Nor is what a service manager wants to hear from it alone.
    const OWN: [&str; 4] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM"];
    let Some(name) = name.to_str() else { return false };
    let is_own = name.starts_with("PLUGBUS_") || OWN.contains(&name);
    !is_own && patterns.iter().any(|pattern| pattern.matches(name))
}

/// The variables of a file of `NAME=value` lines; a value goes to the end of its line, whatever it holds.
///
/// # Errors
/// In words that name the file and the line, and never a value.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<(OsString, OsString)>> {
    let wrong = |problem: String| io::Error::other(format!("env_file {}: {problem}", path.display()));
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let found = file.metadata().map_err(|error| wrong(error.to_string()))?;
    if !found.is_file() {
        return Err(wrong("is not a file".into()));
    }
    if found.mode() & 0o022 != 0 {
        return Err(wrong(format!("others may write it (mode {:04o}): chmod 600", found.mode() & 0o7777)));
    }
    let own = rustix::process::geteuid().as_raw();
    if found.uid() != own && found.uid() != 0 {
        return Err(wrong(format!("belongs to user {}, who could change it: chown it to {own}", found.uid())));
    }
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > MAX_FILE {
        return Err(wrong("larger than 64 KiB".into()));
    }
    variables(&text).map_err(wrong)
}

fn variables(text: &str) -> Result<Vec<(OsString, OsString)>, String> {
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    let variable = |(line, number): (&str, usize)| match line.split_once('=') {
        _ if line.contains('\0') => Err(format!("line {number} holds a NUL character")),
        Some((name, value)) if is_name(name) => Ok((name.into(), value.into())),
        _ => Err(format!("line {number} is no NAME=value")),
    };
    lines.map(variable).collect()
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn of_the_supervisors_variables_few_are_passed_on() {
        let passes = |name: &str, more: &[&str]| {
            let patterns = PASSED_ON.iter().chain(more).map(|pattern| glob::Pattern::new(pattern).unwrap());
            is_passed_on(name.as_ref(), &patterns.collect::<Vec<_>>())
        };
        assert!(passes("PATH", &[]) && passes("LC_ALL", &[]) && passes("VIRTUAL_ENV", &[]));
        assert!(!passes("AWS_SECRET_ACCESS_KEY", &[]) && !passes("LD_PRELOAD", &[]) && !passes("PATHS", &[]));
        assert!(passes("AWS_REGION", &["AWS_*"]) && passes("ANYTHING", &["*"]));
        assert!(
            !passes("PLUGBUS_NAME", &["*"]) && !passes("NOTIFY_SOCKET", &["*"]),
            "its own, whatever is asked for"
        );
    }

    #[test]
    fn a_file_of_variables_is_read_line_by_line() {
        let pairs = variables("# a comment\nA=b\n\nTOKEN= \"x=y\" # z\nE=\n").unwrap();
        assert_eq!(pairs, [("A", "b"), ("TOKEN", " \"x=y\" # z"), ("E", "")].map(|(a, b)| (a.into(), b.into())));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_its_values() {
        for text in
            ["A=1\nsecret\n", "A=1\n=secret\n", "A=1\n1A=secret\n", "A=1\nexport A=secret", "A=1\nA=secret\0\n"]
        {
            let why = variables(text).unwrap_err();
            assert!(why.starts_with("line 2 ") && !why.contains("secret"), "{why}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let mode = |mode| std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o620);
        assert!(
            read_file(file.path()).unwrap_err().to_string().ends_with("others may write it (mode 0620): chmod 600")
        );
        mode(0o600);
        assert_eq!(read_file(file.path()).unwrap(), []);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(file.path(), Some(1), None).unwrap();
            let why = read_file(file.path()).unwrap_err().to_string();
            assert!(why.ends_with("belongs to user 1, who could change it: chown it to 0"), "{why}");
            std::os::unix::fs::chown(file.path(), Some(0), None).unwrap();
        }
        std::fs::write(file.path(), "A=b\n".repeat(20_000)).unwrap();
        assert!(read_file(file.path()).unwrap_err().to_string().ends_with("larger than 64 KiB"));
        assert!(read_file(Path::new("/no/such")).unwrap_err().to_string().starts_with("env_file /no/such: No such"));
        assert!(read_file(Path::new("/")).unwrap_err().to_string().ends_with("is not a file"));
    }
}
