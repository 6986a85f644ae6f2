//! To look for what comes, for a moment, before sleeping.
//!
//! A thread that sleeps has to be woken by the other side, and its core has to wake as well: longer than most calls take.
//! So whoever waits for one other process looks by itself for as long as that, and as long as it is seen to pay. On a core
//! that both sides share it lets the other one go first each time, which saves both of them to sleep and to be woken.

use std::hint;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a wake-up costs at most: 15 to 20 µs of a call where the two sides are on two cores (AMD EPYC, virtual machine,
/// `cargo bench --bench lane`, 2026-11-27). To look for as long costs at most as much again.
const LOOK: Duration = Duration::from_micros(20);

/// After so many looks in vain only one wait in `2^SOON` begins with one: it costs no more than its time.
const SOON: u32 = 6;

/// The same on a shared core. Who lets others go first there has to wait for them where they compute, for milliseconds.
const LATE: u32 = 12;

/// Whether looking has paid.
#[derive(Debug, Default)]
pub(super) struct Spin {
    /// Looks in vain since the last one that was not.
    misses: AtomicU32,
    /// Waits that begin without one.
    skips: AtomicU32,
}

impl Spin {
    /// Looks until there is something, or it has taken too long. One at a time.
    pub(super) fn look<T>(&self, look: impl FnMut() -> Option<T>) -> Option<T> {
        self.look_on(is_one_core(), look)
    }

    fn look_on<T>(&self, one_core: bool, mut look: impl FnMut() -> Option<T>) -> Option<T> {
        if self.skips() {
            return None;
        }
        let since = Instant::now();
        loop {
            if one_core {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
            let found = look();
            if since.elapsed() >= LOOK {
                // Also where something has come meanwhile: to sleep would have taken no longer.
                self.was_in_vain(if one_core { LATE } else { SOON });
                return found;
            }
            if found.is_some() {
                self.misses.store(0, Ordering::Relaxed);
                return found;
            }
        }
    }

    fn skips(&self) -> bool {
        let left = self.skips.load(Ordering::Relaxed);
        if left > 0 {
            self.skips.store(left - 1, Ordering::Relaxed);
        }
        left > 0
    }

    fn was_in_vain(&self, most: u32) {
        let misses = most.min(self.misses.load(Ordering::Relaxed) + 1);
        self.misses.store(misses, Ordering::Relaxed);
        self.skips.store((1 << misses) - 1, Ordering::Relaxed);
    }
}

/// Whether this process may run on one only.
fn is_one_core() -> bool {
    static ONE: OnceLock<bool> = OnceLock::new();
    *ONE.get_or_init(|| thread::available_parallelism().is_ok_and(|cores| cores.get() == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits that began with a look.
    fn looks(spin: &Spin, one_core: bool, waits: u32, mut look: impl FnMut() -> Option<()>) -> Vec<u32> {
        let mut tried = Vec::new();
        for wait in 0..waits {
            spin.look_on(one_core, || {
                tried.push(wait);
                look()
            });
        }
        tried.dedup();
        tried
    }

    #[test]
    fn what_does_not_pay_is_tried_more_and_more_rarely() {
        assert_eq!(looks(&Spin::default(), false, 200, || None), [0, 2, 6, 14, 30, 62, 126, 190]);
        assert_eq!(looks(&Spin::default(), true, 1000, || None), [0, 2, 6, 14, 30, 62, 126, 254, 510]);
    }

    #[test]
    fn what_comes_too_late_has_not_paid_and_is_taken_all_the_same() {
        let spin = Spin::default();
        let late = || {
            let since = Instant::now();
            while since.elapsed() < LOOK {}
            Some(())
        };
        assert_eq!(spin.look_on(false, late), Some(()));
        assert_eq!(looks(&spin, false, 3, late), [1]);
    }

    #[test]
    fn what_pays_again_is_done_again() {
        let spin = Spin::default();
        looks(&spin, false, 20, || None);
        let in_time = || Some(());
        // A machine that is busy may take longer than a look even for this.
        let paid =
            (0..100).any(|_| looks(&spin, false, 3 << SOON, in_time).windows(2).any(|two| two[0] + 1 == two[1]));
        assert!(paid);
    }
}
