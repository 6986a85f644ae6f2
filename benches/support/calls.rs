//! One call many times, and many at a time: what every row of the tables does.

use std::time::{Duration, Instant};

/// What every contestant is asked to revert.
pub(crate) const TEXT: &str = "Live on time, emit no evil";

/// The timings of `counted` calls after `warm` ones; to be awaited on a task of its own, as a host's calls are.
pub(crate) async fn timed<F: Future<Output = ()>>(
    warm: usize,
    counted: usize,
    call: impl Fn() -> F,
) -> Vec<Duration> {
    let mut timings = Vec::with_capacity(counted);
    for nth in 0..warm + counted {
        let start = Instant::now();
        call().await;
        if nth >= warm {
            timings.push(start.elapsed());
        }
    }
    timings
}

/// How long that many callers take who make `each` calls, all at once.
pub(crate) async fn together<F, C>(callers: usize, each: usize, call: C) -> Duration
where
    F: Future<Output = ()> + Send,
    C: Fn() -> F + Clone + Send + 'static,
{
    let start = Instant::now();
    let caller = |_| {
        let call = call.clone();
        tokio::spawn(async move {
            for _ in 0..each {
                call().await;
            }
        })
    };
    let callers: Vec<_> = (0..callers).map(caller).collect();
    for caller in callers {
        caller.await.unwrap();
    }
    start.elapsed()
}
