//! What was seen, and the bound it has to keep.

use std::any::Any;
use std::fmt::Display;
use std::time::Duration;

use crate::measure::{Timings, row};

/// How much is done: all of it, or as much as belongs into every run of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Full,
    Short,
}

impl Size {
    /// So much in a full run, so much in a short one.
    pub(crate) fn pick<T>(self, full: T, short: T) -> T {
        if self == Self::Full { full } else { short }
    }
}

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Figure {
    seen: String,
    bound: String,
    pub(crate) held: bool,
    /// A matter of speed, which a machine with other work to do decides.
    pub(crate) timing: bool,
}

impl Figure {
    pub(crate) fn new(seen: impl Display, bound: impl Display, held: bool) -> Self {
        Self { seen: seen.to_string(), bound: bound.to_string(), held, timing: false }
    }

    pub(crate) fn timing(seen: impl Display, bound: impl Display, held: bool) -> Self {
        Self { timing: true, ..Self::new(seen, bound, held) }
    }

    /// A number of bad things, of which none may be.
    pub(crate) fn none(what: &str, bad: usize, of: usize) -> Self {
        Self::new(format!("{bad} of {of} {what}"), "0", bad == 0)
    }

    /// The median, with the worst case to see.
    pub(crate) fn median(what: &str, timings: &Timings, bound: Duration) -> Self {
        let seen = format!(
            "{what} {} median, {} p99, {} most",
            in_ms(timings.median()),
            in_ms(timings.percentile(99.0)),
            in_ms(timings.percentile(100.0))
        );
        Self::timing(seen, format!("median {}", in_ms(bound)), timings.median() <= bound)
    }

    /// The longest.
    pub(crate) fn most(what: &str, timings: &Timings, bound: Duration) -> Self {
        let most = timings.percentile(100.0);
        let seen = format!("{what} {} most, {} median", in_ms(most), in_ms(timings.median()));
        Self::timing(seen, in_ms(bound), most <= bound)
    }

    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let words =
            panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        let line = words.unwrap_or("it panicked").split_whitespace().collect::<Vec<_>>().join(" ");
        Self::new(format!("could not be done: {line}"), "", false)
    }

    pub(crate) fn print(&self, id: &str, what: &str) {
        let verdict = match (self.held, self.timing) {
            (true, _) => "ok",
            (false, true) => "**slow**",
            (false, false) => "**broken**",
        };
        row([id, what, &self.seen.replace('|', "/"), &self.bound, verdict]);
    }
}

pub(crate) fn in_ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
