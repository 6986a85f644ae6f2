//! What a plugin has counted, method by method: the result of `$stats`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Load;

/// The counters of a plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Those of all its calls together, as in a survey answer.
    #[serde(flatten)]
    pub load: Load,
    /// Those of each method that was called since the start.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub methods: BTreeMap<String, MethodStats>,
    /// Connections that were refused because of whose they were.
    #[serde(default, skip_serializing_if = "is_none")]
    pub refused_connections: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// The counters of one method.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodStats {
    /// Calls that succeeded.
    pub done: u64,
    /// Calls that were begun and ended with an error.
    pub failed: u64,
    /// The errors that callers were given, by their codes; `busy` too, which `failed` does not count.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub codes: BTreeMap<String, u64>,
    /// How long calls took, from their request to their reply.
    #[serde(skip_serializing_if = "Latency::is_empty")]
    pub latency: Latency,
}

impl MethodStats {
    /// Adds those of another instance.
    pub fn merge(&mut self, other: &Self) {
        self.done = self.done.saturating_add(other.done);
        self.failed = self.failed.saturating_add(other.failed);
        for (code, count) in &other.codes {
            let sum = self.codes.entry(code.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.latency.merge(&other.latency);
    }
}

/// How long calls took, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// A longest time each, and how many calls took as long, or less and more than the one before; rising.
    pub buckets: Vec<(u64, u64)>,
    /// All of them together.
    pub sum_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Latency {
    /// Whether no call has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// How many calls have ended.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// What so many calls in a hundred did not exceed, in microseconds, rounded up to the end of its bucket.
    ///
    /// `None` where no call has ended.
    #[must_use]
    pub fn percentile_us(&self, percent: u8) -> Option<u64> {
        let wanted = (u128::from(self.count()) * u128::from(percent.min(100))).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.buckets.iter().find(|(_, count)| {
            seen += u128::from(*count);
            seen >= wanted
        });
        found.map(|(bound, _)| (*bound).min(self.max_us))
    }

    /// Adds what was counted elsewhere, in whatever buckets.
    pub fn merge(&mut self, other: &Self) {
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for (bound, count) in self.buckets.iter().chain(&other.buckets) {
            let sum = buckets.entry(*bound).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.buckets = buckets.into_iter().collect();
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{from_slice, to_vec};

    fn latency(buckets: &[(u64, u64)], max_us: u64) -> Latency {
        Latency { buckets: buckets.to_vec(), sum_us: 0, max_us }
    }

    #[test]
    fn percentiles_are_read_off_the_buckets() {
        let of = latency(&[(10, 50), (20, 49), (1000, 1)], 900);
        for (percent, expected) in [(0, 10), (50, 10), (51, 20), (99, 20), (100, 900), (255, 900)] {
            assert_eq!(of.percentile_us(percent), Some(expected), "{percent}");
        }
        assert_eq!(Latency::default().percentile_us(50), None);
    }

    #[test]
    fn what_several_counted_is_one() {
        let mut all = latency(&[(10, 1), (30, u64::MAX)], 25);
        all.merge(&latency(&[(20, 2), (30, 3)], 28));
        assert_eq!(all, latency(&[(10, 1), (20, 2), (30, u64::MAX)], 28));
        assert_eq!(all.percentile_us(100), Some(28));
    }

    #[test]
    fn those_who_count_less_are_understood() {
        let old = to_vec(&Load { done: 3, ..Load::default() }).unwrap();
        let read: Stats = from_slice(&old).unwrap();
        assert_eq!((read.load.done, read.methods.len()), (3, 0));
        let bare = to_vec(&serde_json::json!({"methods": {"revert": {"done": 1, "mood": "good"}}})).unwrap();
        let read: Stats = from_slice(&bare).unwrap();
        assert_eq!(read.methods["revert"], MethodStats { done: 1, ..MethodStats::default() });
    }
}
