//! What is wrong with a configuration: every problem, each with its place and what would be right.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// One thing that is wrong in one file.
///
/// Displayed as `file:line:column: key: message (did you mean "x"?)`, without the parts that are not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The file, as it was named or found.
    #[serde(serialize_with = "lossy")]
    pub file: PathBuf,
    /// The line, counted from 1; `None` when the file as a whole is meant.
    pub line: Option<usize>,
    /// The column in characters, counted from 1.
    pub column: Option<usize>,
    /// The key's path, as in `plugins.text.command`; empty when none is meant.
    pub key: String,
    /// What is wrong and what to do, in words for people.
    pub message: String,
    /// The nearest right name, where there is one.
    pub suggestion: Option<String>,
}

impl Problem {
    /// A problem of a file as a whole.
    pub(super) fn of_file(file: &Path, message: impl Into<String>) -> Self {
        let (file, message) = (file.to_owned(), message.into());
        Problem { file, line: None, column: None, key: String::new(), message, suggestion: None }
    }
}

/// A path that is not UTF-8 is still worth showing; serde's own way would refuse it.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.suggestion {
            Some(name) => write!(f, " (did you mean \"{name}\"?)"),
            None => Ok(()),
        }
    }
}

/// Why a configuration was refused: all its problems, displayed one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct ConfigError {
    /// What is wrong, in the order of the files and their lines; never empty.
    pub problems: Vec<Problem>,
    /// How many more there were than are kept.
    pub more: usize,
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        ConfigError { problems: vec![problem], more: 0 }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\n... and {} more", self.more)?;
        }
        Ok(())
    }
}
