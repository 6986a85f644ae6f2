//! Whether a plugin that still runs is still there.

use std::time::{Duration, Instant};

/// How a survey round went for one plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum RoundOutcome {
    /// Its answer came within the window.
    Answered,
    /// It did not.
    Missed,
    /// The supervisor itself was late, so the round says nothing about the plugin.
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
