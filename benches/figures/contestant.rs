//! Somebody who is measured: a program, its turns, and what they gave.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::Timings;

const WARM: usize = 2_000;
/// In each turn.
const COUNTED: usize = 2_000;
const CALLERS: usize = 64;
const EACH: usize = 2_000;
/// For a program that does not come to an end.
const LIMIT: &str = "60";

/// What somebody is in the comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Floor,
    Blocking,
    Async,
    Nng,
    Peer,
    /// What a peer would cost that could do nothing but one call at a time.
    Bare,
    /// Replies of a mebibyte, in a table of their own; one that is there already, or is made for each call.
    Mebibyte {
        made: bool,
    },
    /// Many items of that size, in another one.
    Items {
        bytes: usize,
    },
}

impl Kind {
    /// Whether it makes calls of `revert`, which are compared.
    pub(crate) fn is_of_calls(self) -> bool {
        !matches!(self, Self::Mebibyte { .. } | Self::Items { .. })
    }
}

/// Where it runs: on all cores, or both sides on one.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Free,
    OneCore,
}

pub(crate) const PLACES: [Place; 2] = [Place::Free, Place::OneCore];

/// One row.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(&'static str, &'static str)>,
    /// Whether it can have many calls under way on one connection.
    pub(crate) many: bool,
    /// Why it is not measured.
    pub(crate) skipped: Option<String>,
    pub(crate) seen: [Seen; 2],
}

/// What was seen in one place.
#[derive(Default)]
pub(crate) struct Seen {
    timings: Vec<Duration>,
    rates: Vec<f64>,
}

impl Seen {
    /// All turns together.
    pub(crate) fn timings(&self) -> Option<Timings> {
        (!self.timings.is_empty()).then(|| Timings::from(self.timings.clone()))
    }

    /// Calls a second, the median of the turns.
    pub(crate) fn rate(&self) -> Option<f64> {
        let mut rates = self.rates.clone();
        rates.sort_unstable_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }
}

impl Contestant {
    pub(crate) fn new(name: &'static str, kind: Kind, program: &Path) -> Self {
        let (arguments, variables, skipped) = Default::default();
        Self {
            name,
            kind,
            program: program.to_owned(),
            arguments,
            variables,
            many: false,
            skipped,
            seen: Default::default(),
        }
    }

    pub(crate) fn seen(&self, place: Place) -> &Seen {
        &self.seen[place as usize]
    }

    pub(crate) fn take_turn(&mut self) {
        for place in PLACES {
            let counted = if matches!(self.kind, Kind::Mebibyte { .. }) { COUNTED / 10 } else { COUNTED };
            if !matches!(self.kind, Kind::Items { .. })
                && let Some(numbers) = self.run(place, ["one", &WARM.to_string(), &counted.to_string()])
            {
                self.seen[place as usize].timings.extend(numbers.iter().map(|ns| Duration::from_nanos(*ns)));
            }
            if self.many
                && let Some(numbers) = self.run(place, ["many", &CALLERS.to_string(), &EACH.to_string()])
            {
                self.seen[place as usize].rates.extend(numbers.iter().map(|rate| *rate as f64));
            }
        }
    }

    /// The numbers of the line it prints. One that fails is not asked again.
    fn run(&mut self, place: Place, what: [&str; 3]) -> Option<Vec<u64>> {
        if self.skipped.is_some() {
            return None;
        }
        let mut command = Command::new("timeout");
        command.arg(LIMIT);
        if matches!(place, Place::OneCore) {
            // What it starts stays there as well.
            command.args(["taskset", "-c", "0"]);
        }
        command.arg(&self.program).args(&self.arguments).args(what);
        command.envs(self.variables.iter().copied()).stderr(Stdio::inherit());
        let output = command.output().unwrap();
        let line = String::from_utf8(output.stdout).unwrap();
        let numbers = || line.split_whitespace().skip(1).map(|number| number.parse().ok()).collect();
        let numbers = output.status.success().then(numbers).flatten();
        if numbers.is_none() {
            self.skipped = Some(format!("failed: {}", output.status));
        }
        numbers
    }
}
