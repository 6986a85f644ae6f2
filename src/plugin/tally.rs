//! What is counted of one method's calls.
//!
//! Written by whoever answers a call and read by whoever asks, without a lock: a few additions a call. The buckets
//! are as fine as four to each power of two, so that what is read off them is at most a quarter too much.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::wire::{Code, Latency, MethodStats};

/// Up to 134 seconds; the last one takes what is longer.
const BUCKETS: usize = 104;

/// The counters of one method; about a kilobyte.
#[derive(Debug)]
pub(super) struct Tally {
    done: AtomicU64,
    errors: [AtomicU64; Code::ALL.len()],
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            done: AtomicU64::new(0),
            errors: [const { AtomicU64::new(0) }; Code::ALL.len()],
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_us: AtomicU64::new(0),
            max_us: AtomicU64::new(0),
        }
    }
}

impl Tally {
    /// Counts a call that was answered, with the code of its error where it has one.
    pub(super) fn count(&self, error: Option<Code>, took: Duration) {
        match error {
            None => self.done.fetch_add(1, Ordering::Relaxed),
            Some(code) => self.errors[code as usize].fetch_add(1, Ordering::Relaxed),
        };
        if error == Some(Code::Busy) {
            // It was never begun.
            return;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
        // Rarely the longest: most calls only read it.
        if micros > self.max_us.load(Ordering::Relaxed) {
            self.max_us.fetch_max(micros, Ordering::Relaxed);
        }
    }

    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Calls that were begun and ended with an error.
    pub(super) fn failed(&self) -> u64 {
        let begun = Code::ALL.into_iter().filter(|code| *code != Code::Busy);
        begun.map(|code| self.errors[code as usize].load(Ordering::Relaxed)).sum()
    }

    /// The counters as they travel; `None` where the method was never called.
    pub(super) fn stats(&self) -> Option<MethodStats> {
        let count = |code: Code| Some(self.errors[code as usize].load(Ordering::Relaxed)).filter(|count| *count > 0);
        let codes: BTreeMap<String, u64> =
            Code::ALL.into_iter().filter_map(|code| Some((code.as_str().to_owned(), count(code)?))).collect();
        let stats = MethodStats { done: self.done(), failed: self.failed(), codes, latency: self.latency() };
        (stats != MethodStats::default()).then_some(stats)
    }

    fn latency(&self) -> Latency {
        let max_us = self.max_us.load(Ordering::Relaxed);
        let counts = self.buckets.iter().map(|count| count.load(Ordering::Relaxed)).enumerate();
        let buckets = counts.filter(|(_, count)| *count > 0);
        let buckets =
            buckets.map(|(at, count)| (if at == BUCKETS - 1 { max_us } else { bound(at) }, count)).collect();
        Latency { buckets, sum_us: self.sum_us.load(Ordering::Relaxed), max_us }
    }
}

/// Where so many microseconds are counted.
fn bucket(micros: u64) -> usize {
    let Some(octave) = micros.checked_ilog2().filter(|octave| *octave >= 2) else {
        // 0 to 3: each for itself.
        return micros as usize;
    };
    let quarter = (micros >> (octave - 2)) & 3;
    (4 * (octave as usize - 1) + quarter as usize).min(BUCKETS - 1)
}

/// The most microseconds that are counted there.
fn bound(bucket: usize) -> u64 {
    match bucket {
        0..4 => bucket as u64,
        _ => ((bucket as u64 % 4 + 5) << (bucket / 4 - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_its_bucket() {
        for at in 0..BUCKETS {
            assert_eq!(bucket(bound(at)), at);
            assert_eq!(bucket(bound(at) + 1), (at + 1).min(BUCKETS - 1));
        }
        assert_eq!((bucket(u64::MAX), bound(0), bound(3), bound(4), bound(8)), (BUCKETS - 1, 0, 3, 4, 9));
        for micros in 4..100_000 {
            assert!(bound(bucket(micros)) * 4 <= micros * 5, "{micros} is called {}", bound(bucket(micros)));
        }
    }

    #[test]
    fn what_was_counted_is_told() {
        let tally = Tally::default();
        assert_eq!(tally.stats(), None);
        tally.count(None, Duration::from_micros(9));
        tally.count(Some(Code::Failed), Duration::from_secs(600));
        tally.count(Some(Code::Busy), Duration::from_secs(5));
        let stats = tally.stats().unwrap();
        assert_eq!((stats.done, stats.failed), (1, 1));
        assert_eq!(stats.codes, [("busy".to_owned(), 1), ("failed".to_owned(), 1)].into());
        let latency = Latency { buckets: vec![(9, 1), (600_000_000, 1)], sum_us: 600_000_009, max_us: 600_000_000 };
        assert_eq!(stats.latency, latency);
    }

    #[test]
    fn nothing_is_lost_among_threads() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|micros| tally.count(None, Duration::from_micros(micros))));
            }
        });
        let stats = tally.stats().unwrap();
        assert_eq!((stats.done, stats.latency.count(), stats.latency.max_us), (4000, 4000, 999));
        assert_eq!(stats.latency.sum_us, 4 * 499_500);
    }
}
