//! The one place where tests wait.

use std::time::{Duration, Instant};

/// What a machine under heavy load may need: a test that passes does not use it up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer; panics with `what` when there is none in time.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    match eventually_or(|| answer().ok_or(())) {
        Ok(value) => value,
        Err(()) => panic!("waited in vain: {what}"),
    }
}

/// Asks again and again until there is an answer; gives the last refusal when there is none in time.
pub(crate) fn eventually_or<T, E>(mut answer: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answered = answer();
        if answered.is_ok() || Instant::now() >= deadline {
            return answered;
        }
        // Parking is the pause between two looks; nobody unparks this thread.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
