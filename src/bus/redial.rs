//! How long a respondent waits before it tries again to connect.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The wait after a connection is lost; it doubles up to the longest, so that nobody is away for much longer than the
/// one it waits for.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

/// The waits between attempts, each twice as long as the one before and shortened by chance to no less than half, so
/// that a crowd does not come all at once.
#[derive(Debug)]
pub(super) struct Redial(Duration);

impl Redial {
    pub(super) fn new() -> Self {
        Self(FIRST)
    }

    /// How long to wait now.
    pub(super) fn next(&mut self) -> Duration {
        let wait = self.0.mul_f64(0.5 + chance() / 2.0);
        self.0 = (self.0 * 2).min(LONGEST);
        wait
    }
}

/// Another number from 0 to 1 in each process and at each call.
fn chance() -> f64 {
    let number: u32 = (RandomState::new().hash_one(()) >> 32) as u32;
    f64::from(number) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_second_and_begin_anew() {
        let mut redial = Redial::new();
        for longest in [10, 20, 40, 80, 160, 320, 640, 1000, 1000] {
            let (wait, longest) = (redial.next(), Duration::from_millis(longest));
            assert!(longest / 2 <= wait && wait <= longest, "{wait:?}, {longest:?}");
        }
        redial = Redial::new();
        assert!(redial.next() <= FIRST);
    }
}
