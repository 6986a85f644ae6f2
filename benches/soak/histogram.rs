//! Times in buckets, so that a hundred million of them take no more room than one.

use std::time::Duration;

/// Buckets for each doubling: a time is known to 3 %.
const FINE: u64 = 32;
const DOUBLINGS: u64 = 40;

/// How often which time was seen.
pub(crate) struct Histogram(Vec<u64>);

impl Default for Histogram {
    fn default() -> Self {
        Self(vec![0; (FINE * DOUBLINGS) as usize])
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, time: Duration) {
        let nanos = (time.as_nanos() as u64).max(FINE);
        let doubling = u64::from(nanos.ilog2() - FINE.ilog2());
        let bucket = doubling * FINE + ((nanos >> doubling) - FINE);
        let last = self.0.len() - 1;
        self.0[(bucket as usize).min(last)] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(count, more)| *count += more);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time that this share of all do not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let rank = (percent / 100.0 * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let (doubling, step) = (bucket.unwrap_or(0) as u64 / FINE, bucket.unwrap_or(0) as u64 % FINE);
        Duration::from_nanos((FINE + step + 1) << doubling)
    }
}
