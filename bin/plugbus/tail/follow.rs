//! Several logs at once, merged by time, once or for as long as somebody reads.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{From, Since, Tail};
use crate::args::Range;
use crate::error::CommandError;

/// From one look at logs that have nothing new to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// Lines that following begins with, as `tail -f` does.
const FIRST_LINES: u64 = 10;

/// Lines that are printed together.
const BATCH: usize = 1000;

/// Makes of a line of a log what is printed; one type for each kind of log.
pub(crate) trait Print {
    /// The time stamp of a line, which orders it among others; `None` where it has none.
    fn stamp<'a>(&self, line: &'a [u8]) -> Option<&'a str>;
    /// Whether a line is wanted at all.
    fn wants(&self, line: &[u8]) -> bool;
    /// Whether there are lines that are not.
    fn selects(&self) -> bool;
    /// Prints lines with the names of their logs.
    fn print(&self, lines: &mut VecDeque<(String, Vec<u8>)>) -> Result<(), CommandError>;
}

/// What is read, and how much of it.
#[derive(Debug)]
pub(crate) struct Follower<F> {
    /// All logs that there are by now, each with its name.
    find: F,
    since: Option<Since>,
    lines: Option<u64>,
    tails: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    name: String,
    tail: Tail,
    /// The stamp of the newest line, for lines that have none.
    stamp: String,
    next: Option<Vec<u8>>,
}

impl<F: FnMut() -> Vec<(String, PathBuf)>> Follower<F> {
    pub(crate) fn new(find: F, range: Range) -> Self {
        let begins_late = range.follow && range.since.is_none();
        let lines = range.lines.or(begins_late.then_some(FIRST_LINES));
        Self { find, since: range.since.map(Since::ago), lines, tails: Vec::new() }
    }

    /// Prints what there is.
    pub(crate) fn print_all(&mut self, print: &impl Print) -> Result<(), CommandError> {
        self.begin(print, true)
    }

    /// Prints what there is, and what comes; `nudge` may end a wait for that early.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub(crate) async fn follow<N: Future<Output = ()>>(
        &mut self,
        print: &impl Print,
        mut nudge: impl FnMut() -> N,
    ) -> Result<(), CommandError> {
        self.begin(print, false)?;
        loop {
            self.look_for_more()?;
            let mut lines = VecDeque::new();
            while let Some(line) = self.next(print).map_err(failed)? {
                lines.push_back(line);
                if lines.len() >= BATCH {
                    print.print(&mut lines)?;
                    // A flood must not keep Ctrl-C from being heard.
                    tokio::task::yield_now().await;
                }
            }
            print.print(&mut lines)?;
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = nudge() => {}
            }
        }
    }

    fn begin(&mut self, print: &impl Print, with_rest: bool) -> Result<(), CommandError> {
        for (name, path) in (self.find)() {
            let from = match (&self.since, self.lines) {
                // Of those that are wanted, which nobody has counted.
                (_, Some(_)) if print.selects() => From::Beginning,
                (_, Some(lines)) => From::LastLines(lines),
                (Some(since), None) => From::Since(since),
                (None, None) => From::Beginning,
            };
            self.tails.push(Source::new(name, Tail::new(path, from).map_err(failed)?));
        }
        let (mut lines, most) = (VecDeque::new(), self.lines.map(|lines| lines.try_into().unwrap_or(usize::MAX)));
        loop {
            let next = self.next(print).map_err(failed)?;
            let Some(line) = next.or_else(|| if with_rest { self.rest() } else { None }) else { break };
            lines.push_back(line);
            match most {
                Some(most) if lines.len() > most => drop(lines.pop_front()),
                None if lines.len() >= BATCH => print.print(&mut lines)?,
                _ => {}
            }
        }
        print.print(&mut lines)
    }

    /// Logs that were begun since the last look are new from their first line on.
    fn look_for_more(&mut self) -> Result<(), CommandError> {
        for (name, path) in (self.find)() {
            if !self.tails.iter().any(|source| source.name == name) {
                self.tails.push(Source::new(name, Tail::new(path, From::Beginning).map_err(failed)?));
            }
        }
        Ok(())
    }

    /// The oldest line of all that can be read now.
    fn next(&mut self, print: &impl Print) -> io::Result<Option<(String, Vec<u8>)>> {
        for source in &mut self.tails {
            while source.next.is_none() {
                let Some(line) = source.tail.next()? else { break };
                if let Some(stamp) = print.stamp(&line) {
                    stamp.clone_into(&mut source.stamp);
                }
                let is_late = self.since.as_ref().is_none_or(|since| since.wants(&source.stamp));
                source.next = Some(line).filter(|line| is_late && print.wants(line));
            }
        }
        let waiting = self.tails.iter_mut().filter(|source| source.next.is_some());
        let oldest = waiting.min_by(|a, b| a.stamp.cmp(&b.stamp));
        Ok(oldest.and_then(|source| Some((source.name.clone(), source.next.take()?))))
    }

    fn rest(&mut self) -> Option<(String, Vec<u8>)> {
        self.tails.iter_mut().find_map(|source| Some((source.name.clone(), source.tail.rest()?)))
    }
}

impl Source {
    fn new(name: String, tail: Tail) -> Self {
        Self { name, tail, stamp: String::new(), next: None }
    }
}

fn failed(error: io::Error) -> CommandError {
    CommandError::system("read the logs")(error)
}
