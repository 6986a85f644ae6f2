//! Whether a plugin that still runs is still there.

use std::time::{Duration, Instant};

use crate::wire::Load;

/// A plugin with a call that has been running for longer is called busy.
///
/// As long as it takes a person to wonder; a shorter time would fill the event log with calls that are nothing special.
const BUSY: Duration = Duration::from_secs(1);

/// How a survey round went for one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum RoundOutcome {
    /// Its answer came within the window.
    Answered,
    /// It did not.
    Missed,
    /// The supervisor itself was late, so the round says nothing, whether there was an answer or not.
    Void,
}

/// What is thought of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Liveness {
    /// It has missed this many rounds in a row, fewer than it may.
    Alive { missed: u32 },
    /// It has missed as many rounds as it may.
    Silent { missed: u32 },
}

/// Judges a plugin from the rounds it had missed before and the one that just ended.
///
/// A void round neither counts nor pardons: what was missed before it stays missed.
pub(in crate::supervisor) fn judge(missed: u32, outcome: RoundOutcome, allowed: u32) -> Liveness {
    let missed = match outcome {
        RoundOutcome::Answered => 0,
        RoundOutcome::Missed => missed.saturating_add(1),
        RoundOutcome::Void => missed,
    };
    // With `misses = 0` the first miss is the last.
    if outcome == RoundOutcome::Missed && missed >= allowed.max(1) {
        Liveness::Silent { missed }
    } else {
        Liveness::Alive { missed }
    }
}

/// Whether a plugin is at work on a call that takes long, which is no reason to disturb it.
pub(in crate::supervisor) fn is_busy(load: &Load) -> bool {
    load.in_flight > 0 && Duration::from_millis(load.oldest_ms) >= BUSY
}

/// Since when a plugin has not moved, as far as timely rounds have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) struct Stillness {
    beat: u64,
    since: Instant,
}

impl Stillness {
    /// Takes in the answer to a round in which the supervisor was not late; a void one begins anew, with `None`.
    ///
    /// After the whole machine stood still everything looks as if it had not moved for long.
    pub(in crate::supervisor) fn see(before: Option<Self>, load: &Load, now: Instant) -> Self {
        match before {
            Some(same) if same.beat == load.beat => same,
            _ => Self { beat: load.beat, since: now },
        }
    }

    /// Whether the plugin is wedged: past a call's deadline by the grace, and without any progress for as long.
    ///
    /// By the plugin's own clock and by this one: neither alone is enough.
    pub(in crate::supervisor) fn is_wedged(&self, load: &Load, grace: Duration, now: Instant) -> bool {
        load.in_flight > 0
            && load.overdue_ms > 0
            && Duration::from_millis(load.overdue_ms) >= grace
            && now.saturating_duration_since(self.since) >= grace
    }
}

/// When a round was due, and when things really happened.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervisor) struct RoundTimes {
    /// When the question should have been asked.
    pub(in crate::supervisor) planned: Instant,
    /// When it was asked.
    pub(in crate::supervisor) asked: Instant,
    /// When the supervisor saw the end of the window.
    pub(in crate::supervisor) ended: Instant,
    /// How long the window was to be.
    pub(in crate::supervisor) window: Duration,
}

impl RoundTimes {
    /// Whether the supervisor was late, so that the round counts against nobody.
    ///
    /// A supervisor that was stopped, starved or suspended finds its timer run out and the answers it did not
    /// read thrown away. It cannot tell that from plugins that said nothing, except by its own lateness.
    pub(in crate::supervisor) fn are_void(&self) -> bool {
        let asked_late = self.asked.saturating_duration_since(self.planned);
        let ended_late = self.ended.saturating_duration_since(self.asked).saturating_sub(self.window);
        asked_late.max(ended_late) > tolerance(self.window)
    }
}

/// How late the supervisor may be: a quarter of the window, and never less than a busy machine's scheduling.
fn tolerance(window: Duration) -> Duration {
    (window / 4).max(Duration::from_millis(50))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_in_a_row_make_silence() {
        use Liveness::{Alive, Silent};
        use RoundOutcome::{Answered, Missed, Void};
        for (before, outcome, allowed, verdict) in [
            (0, Answered, 3, Alive { missed: 0 }),
            (0, Missed, 3, Alive { missed: 1 }),
            (1, Missed, 3, Alive { missed: 2 }),
            (2, Missed, 3, Silent { missed: 3 }),
            (2, Answered, 3, Alive { missed: 0 }),
            (2, Void, 3, Alive { missed: 2 }),
            (0, Missed, 1, Silent { missed: 1 }),
            (0, Missed, 0, Silent { missed: 1 }),
            (0, Void, 0, Alive { missed: 0 }),
            (u32::MAX, Missed, u32::MAX, Silent { missed: u32::MAX }),
        ] {
            assert_eq!(judge(before, outcome, allowed), verdict, "{before} {outcome:?} of {allowed}");
        }
    }

    #[test]
    fn a_long_call_makes_busy() {
        for (in_flight, oldest_ms, busy) in [(0, 0, false), (1, 999, false), (1, 1000, true), (0, 5000, false)] {
            assert_eq!(is_busy(&Load { in_flight, oldest_ms, ..Load::default() }), busy, "{in_flight} {oldest_ms}");
        }
    }

    #[test]
    fn wedged_is_both_past_a_deadline_and_without_progress() {
        let start = Instant::now();
        let grace = Duration::from_secs(10);
        for (overdue, still, wedged) in [
            (10_000, 10_000, true),
            (9_999, 60_000, false),
            (60_000, 9_999, false),
            // H5: whatever takes long and is within its deadline.
            (0, 86_400_000, false),
        ] {
            let load = Load { in_flight: 1, oldest_ms: 90_000_000, overdue_ms: overdue, beat: 7, ..Load::default() };
            let stillness = Stillness::see(None, &load, start);
            assert_eq!(stillness.is_wedged(&load, grace, start + Duration::from_millis(still)), wedged, "{load:?}");
        }
        let none = Load { overdue_ms: 60_000, ..Load::default() };
        assert!(!Stillness::see(None, &none, start).is_wedged(&none, Duration::ZERO, start), "no call, no verdict");
    }

    #[test]
    fn stillness_begins_with_the_last_movement_and_with_a_void_round() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let load = |beat| Load { beat, ..Load::default() };
        let first = Stillness::see(None, &load(1), at(0));
        let same = Stillness::see(Some(first), &load(1), at(5));
        assert_eq!((same.since, Stillness::see(Some(same), &load(2), at(6)).since), (at(0), at(6)));
        assert_eq!(Stillness::see(None, &load(1), at(7)).since, at(7));
    }

    #[test]
    fn invariant_5_a_round_in_which_the_supervisor_was_late_is_void() {
        let planned = Instant::now();
        let window = Duration::from_millis(500);
        for (asked_after, took, void) in [
            (0, 500, false),
            (0, 3, false),
            (100, 500, false),
            (126, 500, true),
            (0, 625, false),
            (0, 626, true),
            (0, 30_000, true),
            (30_000, 3, true),
        ] {
            let asked = planned + Duration::from_millis(asked_after);
            let times = RoundTimes { planned, asked, ended: asked + Duration::from_millis(took), window };
            assert_eq!(times.are_void(), void, "asked {asked_after} ms late, took {took} ms");
        }
    }
}
