//! Whether a plugin is restarted too often.
//!
//! Only restarts that nobody asked for count: a person who tries something again and again uses up nothing.

use std::collections::VecDeque;
use std::time::Instant;

use crate::supervisor::{AtIntensity, IntensitySpec};

/// What is to be thought of one more restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum Verdict {
    /// Nothing: on with it.
    Fine,
    /// On with it, but somebody should know. Said once for each time that it begins.
    Flapping,
    /// It is one too many.
    TooMany,
}

/// The newest restarts of a plugin, at most as many as it may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::supervisor) struct Intensity {
    restarts: VecDeque<Instant>,
    flapping: bool,
}

impl Intensity {
    /// Counts one more restart, unless it is one too many.
    pub(in crate::supervisor) fn restart(&mut self, spec: &IntensitySpec, now: Instant) -> Verdict {
        let allowed = usize::try_from(spec.restarts).unwrap_or(usize::MAX).max(1);
        let is_past = |then: &Instant| now.saturating_duration_since(*then) >= spec.within;
        while self.restarts.front().is_some_and(is_past) {
            self.restarts.pop_front();
        }
        if self.restarts.is_empty() {
            self.flapping = false;
        }
        let over = self.restarts.len() >= allowed;
        if over && spec.then == AtIntensity::Fail {
            return Verdict::TooMany;
        }
        if over {
            // All that matters of those that were too many is the newest `allowed`.
            self.restarts.drain(..=self.restarts.len() - allowed);
        }
        self.restarts.push_back(now);
        let is_news = over && !self.flapping;
        self.flapping |= over;
        if is_news { Verdict::Flapping } else { Verdict::Fine }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Verdict::{Fine, Flapping, TooMany};
    use super::*;

    fn verdicts(restarts: u32, then: AtIntensity, seconds: &[u64]) -> Vec<Verdict> {
        let spec = IntensitySpec { restarts, within: Duration::from_secs(60), then };
        let start = Instant::now();
        let mut intensity = Intensity::default();
        seconds.iter().map(|at| intensity.restart(&spec, start + Duration::from_secs(*at))).collect()
    }

    #[test]
    fn as_many_as_allowed_in_any_such_time_and_no_more() {
        for (seconds, expected) in [
            (&[0, 1, 2, 3][..], &[Fine, Fine, Fine, TooMany][..]),
            (&[0, 1, 2, 59, 60, 60, 61], &[Fine, Fine, Fine, TooMany, Fine, TooMany, Fine]),
            (&[0, 30, 60, 90, 120, 150], &[Fine; 6]),
            (&[0, 0, 0, 0], &[Fine, Fine, Fine, TooMany]),
        ] {
            assert_eq!(verdicts(3, AtIntensity::Fail, seconds), expected, "{seconds:?}");
        }
    }

    #[test]
    fn whoever_goes_on_is_called_flapping_once() {
        let seconds = [0, 1, 2, 3, 4, 62, 63, 64, 200, 201, 202];
        let expected = [Fine, Fine, Flapping, Fine, Fine, Fine, Fine, Fine, Fine, Fine, Flapping];
        assert_eq!(verdicts(2, AtIntensity::GoOn, &seconds), expected);
    }

    #[test]
    fn memory_is_bounded_and_a_smaller_limit_counts_at_once() {
        let mut spec =
            IntensitySpec { restarts: 100, within: Duration::from_secs(31_557_600), then: AtIntensity::GoOn };
        let mut intensity = Intensity::default();
        let now = Instant::now();
        for _ in 0..1000 {
            intensity.restart(&spec, now);
        }
        assert_eq!(intensity.restarts.len(), 100);
        spec.restarts = 0;
        intensity.restart(&spec, now);
        assert_eq!(intensity.restarts.len(), 1);
        spec.then = AtIntensity::Fail;
        assert_eq!(intensity.restart(&spec, now), TooMany);
    }
}
