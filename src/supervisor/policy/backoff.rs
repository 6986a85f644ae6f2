//! How long a plugin that is to be started again has to wait.

use std::time::Duration;

use crate::supervisor::BackoffSpec;

/// A year: keeps a `max` without bound away from arithmetic that would overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How a run went, as far as the next wait depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum RunLength {
    /// The plugin did not start, or ended before it was ready.
    NeverReady,
    /// The plugin was ready for this long.
    ReadyFor(Duration),
}

/// The restarts a plugin has used up since its last good run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Backoff {
    step: u32,
}

impl Backoff {
    /// The wait before the next start; `dice` is a random number from 0 to 1.
    ///
    /// The first restart of a plugin that had been ready waits for nothing: most crashes are rare, and whoever is
    /// calling it wants it back. From then on the wait is `min` and doubles up to `max`, until a run was ready
    /// for `reset`. A plugin that never got ready has shown no reason for the free restart.
    pub(in crate::supervisor) fn next(&mut self, spec: &BackoffSpec, run: RunLength, dice: f64) -> Duration {
        if matches!(run, RunLength::ReadyFor(time) if time >= spec.reset) {
            self.step = 0;
        }
        if self.step == 0 && run == RunLength::NeverReady {
            self.step = 1;
        }
        let wait = delay(spec, self.step, dice);
        self.step = self.step.saturating_add(1);
        wait
    }
}

/// The wait at a step: nothing, `min`, twice `min`, … `max`; of each, the share `jitter` is random.
///
/// Jitter only shortens: `max` stays the longest wait there is.
fn delay(spec: &BackoffSpec, step: u32, dice: f64) -> Duration {
    let Some(doublings) = step.checked_sub(1) else { return Duration::ZERO };
    let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
    let whole = spec.min.saturating_mul(factor).min(spec.max).min(LONGEST);
    let random = (spec.jitter * dice).clamp(0.0, 1.0);
    // NaN would come from a spec built by hand; it counts as no jitter.
    if random.is_nan() { whole } else { whole.mul_f64(1.0 - random) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: BackoffSpec = BackoffSpec {
        min: Duration::from_millis(100),
        max: Duration::from_secs(60),
        jitter: 0.2,
        reset: Duration::from_secs(60),
    };

    fn millis(backoff: &mut Backoff, run: RunLength, times: usize) -> Vec<u128> {
        (0..times).map(|_| backoff.next(&SPEC, run, 0.0).as_millis()).collect()
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let crash = RunLength::ReadyFor(Duration::from_secs(1));
        let waits = millis(&mut Backoff::default(), crash, 14);
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000]);
    }

    #[test]
    fn one_that_never_got_ready_waits_from_the_first_restart_on() {
        assert_eq!(millis(&mut Backoff::default(), RunLength::NeverReady, 4), [100, 200, 400, 800]);
    }

    #[test]
    fn a_good_run_starts_over() {
        let mut backoff = Backoff::default();
        millis(&mut backoff, RunLength::NeverReady, 30);
        let almost = RunLength::ReadyFor(SPEC.reset - Duration::from_millis(1));
        assert_eq!(backoff.next(&SPEC, almost, 0.0), SPEC.max);
        assert_eq!(millis(&mut backoff, RunLength::ReadyFor(SPEC.reset), 2), [0, 0]);
    }

    #[test]
    fn jitter_takes_away_at_most_its_share() {
        for (dice, expected) in [(0.0, 100), (0.5, 90), (1.0, 80)] {
            assert_eq!(delay(&SPEC, 1, dice).as_millis(), expected);
        }
        assert_eq!(delay(&SPEC, 100, 0.0), SPEC.max);
        assert_eq!(delay(&SPEC, 100, 1.0), Duration::from_secs(48));
    }

    #[test]
    fn no_spec_makes_it_panic() {
        for jitter in [-1.0, 0.0, 2.0, f64::NAN, f64::INFINITY] {
            for step in [0, 1, 31, 32, 33, 64, u32::MAX] {
                let spec = BackoffSpec { jitter, max: Duration::MAX, min: Duration::from_secs(1 << 40), ..SPEC };
                delay(&spec, step, 0.5);
            }
        }
        let mut worn = Backoff { step: u32::MAX };
        assert_eq!(worn.next(&SPEC, RunLength::NeverReady, 0.0), SPEC.max);
    }
}
