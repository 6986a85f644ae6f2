//! A plugin that is restarted again and again.

use std::collections::VecDeque;
use std::time::Instant;

use crate::supervisor::FlappingSpec;

/// The latest restarts of one unit that nobody asked for.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct Flapping {
    restarts: VecDeque<Instant>,
    told: bool,
}

impl Flapping {
    /// Takes in a restart; whether it is the one that makes the unit flap, which is so once until it is calmer.
    pub(in crate::supervisor) fn restarted(&mut self, spec: &FlappingSpec, now: Instant) -> bool {
        self.restarts.push_back(now);
        let is_old = |restart: &Instant| now.saturating_duration_since(*restart) > spec.within;
        while self.restarts.front().is_some_and(is_old) || self.restarts.len() > spec.restarts as usize {
            self.restarts.pop_front();
        }
        let flaps = self.restarts.len() >= spec.restarts as usize;
        let was_told = std::mem::replace(&mut self.told, flaps);
        flaps && !was_told
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn told(restarts: u32, within: u64, seconds: &[u64]) -> Vec<u64> {
        let (spec, start) = (FlappingSpec { restarts, within: Duration::from_secs(within) }, Instant::now());
        let mut flapping = Flapping::default();
        let is_told = |second: &&u64| flapping.restarted(&spec, start + Duration::from_secs(**second));
        seconds.iter().filter(is_told).copied().collect()
    }

    #[test]
    fn many_in_a_short_time_are_told_once_until_it_is_calmer() {
        assert_eq!(told(3, 10, &[0, 1, 2, 3, 4]), [2]);
        assert_eq!(told(3, 10, &[0, 9, 10]), [10]);
        assert_eq!(told(3, 10, &[0, 9, 11, 22, 33]), [0; 0]);
        // Calm for a while, and then again.
        assert_eq!(told(3, 10, &[0, 1, 2, 3, 30, 31, 32, 33]), [2, 32]);
        assert_eq!(told(1, 10, &[0, 5, 20]), [0], "one that is told of every restart is never calmer");
        assert!(told(1000, 10, &(0..5000).collect::<Vec<_>>()).is_empty());
    }
}
