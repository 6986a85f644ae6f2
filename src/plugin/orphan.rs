//! Ends a plugin whose supervisor stays away.

use std::time::Duration;

use tokio::sync::watch;

/// The time is counted in so many parts: a process that is stopped, or a machine that sleeps, skips one at the most.
const PARTS: u32 = 10;

/// Ends once no supervisor has been connected for that long, whether it left or never came.
///
/// One that does not ask for a while is connected all the same: it may be stopped by a debugger.
///
/// # Cancel safety
/// May be dropped at any time.
pub(super) async fn without_supervisor(mut presence: watch::Receiver<bool>, patience: Duration) {
    let mut alone = 0;
    while alone < PARTS {
        let came = tokio::time::timeout(patience / PARTS, until(&mut presence, true)).await;
        if came.is_err() {
            alone += 1;
        } else {
            until(&mut presence, false).await;
            alone = 0;
        }
    }
}

async fn until(presence: &mut watch::Receiver<bool>, wanted: bool) {
    if presence.wait_for(|present| *present == wanted).await.is_err() {
        // The socket is closed: the plugin ends already.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn only_a_supervisor_that_is_away_all_that_time_ends_the_plugin() {
        let present = watch::Sender::new(true);
        let begun = tokio::time::Instant::now();
        let waiting = tokio::spawn(without_supervisor(present.subscribe(), PATIENCE));
        tokio::time::sleep(10 * PATIENCE).await;
        for _ in 0..3 {
            present.send_replace(false);
            tokio::time::sleep(PATIENCE.mul_f64(0.9)).await;
            present.send_replace(true);
            tokio::time::sleep(PATIENCE / 100).await;
        }
        assert!(!waiting.is_finished());
        present.send_replace(false);
        let last = begun.elapsed();
        waiting.await.unwrap();
        assert!((begun.elapsed() - last).abs_diff(PATIENCE) < PATIENCE / 100, "{:?}", begun.elapsed() - last);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_never_comes_counts_from_the_start() {
        let absent = watch::Sender::new(false);
        let begun = tokio::time::Instant::now();
        without_supervisor(absent.subscribe(), PATIENCE).await;
        assert!(begun.elapsed().abs_diff(PATIENCE) < PATIENCE / 100);
    }
}
