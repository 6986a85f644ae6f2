//! Reasons in words, for the event log and for `status`.

use std::time::Duration;

use super::exit::ExitState;
use super::run::{EndCause, Run};
use crate::wire::Load;

/// The longest piece of a plugin's own output that a reason repeats, in characters.
const MAX_QUOTE: usize = 200;

/// A length of time as people say it: `35 ms`, `2.1 s`, `4 min 5 s`, `3 h 20 min`, `2 days`.
pub(in crate::supervisor) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..=59 => format!("{:.1} s", time.as_secs_f64()),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A number of calls in words, and how long they have been running.
pub(in crate::supervisor) fn calls(load: &Load) -> String {
    let millis = |millis| duration(Duration::from_millis(millis));
    let mut words = match load.in_flight {
        0 => return "no call".into(),
        1 => format!("1 call, running for {}", millis(load.oldest_ms)),
        calls => format!("{calls} calls, the oldest running for {}", millis(load.oldest_ms)),
    };
    if load.overdue_ms > 0 {
        words += &format!(", {} past its deadline", millis(load.overdue_ms));
    }
    words
}

/// Why a run is over: what ended it, how the process went, how long it ran, and its last words where they matter.
pub(super) fn run_end(
    run: &Run,
    (exit, is_success): (ExitState, bool),
    lived: Duration,
    last_line: Option<&str>,
) -> String {
    let went = match run.gone {
        true => format!("{exit}: it ended while no supervisor ran"),
        false => format!("{exit} after {}", duration(lived)),
    };
    // Whoever was killed from outside had no last words on it.
    let last_line = last_line.filter(|_| !exit.is_from_outside());
    match &run.end {
        Some(EndCause::Commanded) if run.killed => format!("stopped as asked, but ignored SIGTERM: {went}"),
        Some(EndCause::Commanded) => format!("stopped as asked: {went}"),
        Some(EndCause::Bereft) => format!("stopped for want of what it requires: {went}"),
        Some(EndCause::Fault(fault)) => quote(format!("{fault}; {went}"), last_line),
        None if is_success => went,
        None => quote(went, last_line),
    }
}

fn quote(reason: String, last_line: Option<&str>) -> String {
    match last_line.map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) if line.chars().count() > MAX_QUOTE => {
            format!("{reason}: {}…", line.chars().take(MAX_QUOTE).collect::<String>())
        }
        Some(line) => format!("{reason}: {line}"),
        None => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (millis, words) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (2100, "2.1 s"),
            (59_900, "59.9 s"),
            (245_000, "4 min 5 s"),
            (12_000_000, "3 h 20 min"),
            (200_000_000, "2 days 7 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), words);
        }
    }

    #[test]
    fn calls_that_run() {
        let load = |in_flight, overdue_ms| Load { in_flight, oldest_ms: 42_000, overdue_ms, ..Load::default() };
        assert_eq!(calls(&load(0, 0)), "no call");
        assert_eq!(calls(&load(1, 0)), "1 call, running for 42.0 s");
        assert_eq!(calls(&load(3, 12_000)), "3 calls, the oldest running for 42.0 s, 12.0 s past its deadline");
    }

    #[test]
    fn last_words_are_bounded() {
        assert_eq!(quote("x".into(), Some("  out of cheese \n")), "x: out of cheese");
        assert_eq!(quote("x".into(), Some(" \t")), "x");
        assert!(quote("x".into(), Some(&"é".repeat(5000))).len() < 3 * MAX_QUOTE);
    }
}
