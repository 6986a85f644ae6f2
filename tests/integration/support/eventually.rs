//! The one place where tests wait.

use std::time::{Duration, Instant};

/// Asks again and again until there is an answer; panics with `what` when there is none in time.
///
/// The time is what a machine under heavy load may need: a test that passes does not use it up.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(value) = answer() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited 30 s in vain: {what}");
        // Parking is the pause between two looks; nobody unparks this thread.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
