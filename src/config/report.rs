//! Collects problems while files are read and checked, and puts places into words.

use std::fmt;

use super::error::{ConfigError, Problem};
use super::source::{Place, Source};
use crate::wire::distance;

/// A file of nothing but mistakes must not fill the memory or the terminal with them.
pub(super) const MAX_PROBLEMS: usize = 100;

/// The longest piece of a file that a message repeats, in characters.
const MAX_QUOTE: usize = 64;

/// All problems and warnings of one load.
#[derive(Debug)]
pub(super) struct Report<'a> {
    sources: &'a [Source],
    problems: Vec<(Place, Problem)>,
    warnings: Vec<(Place, Problem)>,
    more: usize,
}

/// What is to be said about a place.
#[derive(Debug)]
pub(super) struct Remark {
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.suggestion.as_ref().map_or(Ok(()), |name| write!(f, " (did you mean {name:?}?)"))
    }
}

impl<T: Into<String>> From<T> for Remark {
    fn from(message: T) -> Self {
        Remark { message: message.into(), suggestion: None }
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(sources: &'a [Source]) -> Self {
        Report { sources, problems: Vec::new(), warnings: Vec::new(), more: 0 }
    }

    /// The file that a place is in.
    pub(super) fn source(&self, at: Place) -> &'a Source {
        &self.sources[at.file]
    }

    /// Notes what makes the configuration unfit.
    pub(super) fn problem(&mut self, at: Place, key: &str, remark: impl Into<Remark>) {
        if self.problems.len() >= MAX_PROBLEMS {
            self.more += 1;
            return;
        }
        let problem = self.place(at, key, remark.into());
        // A wrong value in [defaults] is met again with every plugin that inherits it.
        if !self.problems.iter().any(|(_, known)| *known == problem) {
            self.problems.push((at, problem));
        }
    }

    /// Notes what the bus can live with.
    pub(super) fn warning(&mut self, at: Place, key: &str, remark: impl Into<Remark>) {
        if self.warnings.len() < MAX_PROBLEMS {
            let warning = self.place(at, key, remark.into());
            self.warnings.push((at, warning));
        }
    }

    /// A place in words, as part of a message about another one.
    pub(super) fn describe(&self, at: Place) -> String {
        if at.file == Source::BUILT_IN {
            return "the default".to_owned();
        }
        let (line, column) = self.source(at).line_and_column(at.offset);
        format!("{}:{line}:{column}", self.source(at).path.display())
    }

    /// What was made and the warnings, or else every problem, those of whole files in front.
    pub(super) fn finish<T>(
        mut self,
        files: Vec<Problem>,
        made: Option<T>,
    ) -> Result<(T, Vec<Problem>), ConfigError> {
        if self.problems.is_empty() && files.is_empty() {
            if let Some(made) = made {
                return Ok((made, in_order(self.warnings).collect()));
            }
            // Only a key without a default leads here, and a test keeps the default file whole.
            self.problem(
                Place { file: Source::BUILT_IN, offset: 0 },
                "",
                "a key has no default: plugbus itself is at fault",
            );
        }
        self.more += (files.len() + self.problems.len()).saturating_sub(MAX_PROBLEMS);
        let problems = files.into_iter().chain(in_order(self.problems)).take(MAX_PROBLEMS).collect();
        Err(ConfigError { problems, more: self.more })
    }

    fn place(&self, at: Place, key: &str, remark: Remark) -> Problem {
        let source = self.source(at);
        let (line, column) = source.line_and_column(at.offset);
        Problem {
            line: Some(line),
            column: Some(column),
            key: key.to_owned(),
            suggestion: remark.suggestion,
            ..Problem::of_file(&source.path, remark.message)
        }
    }
}

fn in_order(mut placed: Vec<(Place, Problem)>) -> impl Iterator<Item = Problem> {
    placed.sort_by_key(|(at, _)| *at);
    placed.into_iter().map(|(_, problem)| problem)
}

/// A piece of a file fit for a message: short, in quotes, control characters escaped.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The right name that somebody who wrote `word` most likely meant.
pub(super) fn nearest<S: AsRef<str>>(word: &str, names: impl IntoIterator<Item = S>) -> Option<String> {
    if word.chars().count() > MAX_QUOTE {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let word = plain(word);
    names
        .into_iter()
        .map(|name| (distance(&word, &plain(name.as_ref())), name))
        // One slip in three letters: with more, or in fewer, it is another word.
        .filter(|(slips, name)| *slips <= (name.as_ref().len().max(word.len()) / 3).min(3))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, name)| name.as_ref().to_owned())
}
