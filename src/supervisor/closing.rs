//! Looks whether the bus still lets go of what has ended; where it does not, the supervisor begins anew.
//!
//! Nothing else shows it at once: plugins are asked, restarted and called as ever, and only descriptors and memory grow, until
//! nobody can connect any more (decision 0023).

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::control::Reloader;
use super::dispatcher::Request;
use crate::bus::Closing;

/// How often is looked. A few hundred plugins that die each second leave a few thousand descriptors until it is noticed.
const LOOK: Duration = Duration::from_secs(3);

/// Looks at which the same two sockets are still not closed, before that is believed: the first one after a standstill of
/// this process comes too early.
const LOOKS: u32 = 3;

/// How long a configuration that cannot be read keeps the supervisor as it is, until that is looked at again.
const RETRY: Duration = Duration::from_secs(60);

/// Looks until it finds that nothing is closed any more, or until the dispatcher is gone.
///
/// Where the process is nothing but this supervisor, which `reloader` says, it is told to become its program anew.
pub(super) async fn watch(requests: mpsc::WeakSender<Request>, reloader: Option<Reloader>) {
    if !until_stuck(&requests).await {
        return;
    }
    let Some(told) = requests.upgrade() else { return };
    let _ = told.send(Request::Stuck).await;
    drop(told);
    let Some(reloader) = reloader else { return };
    // Whoever cannot read its configuration would leave the plugins to nobody.
    while let Err(refusal) = reloader.reload(true).await {
        tracing::error!("cannot begin anew: {refusal}");
        tokio::time::sleep(RETRY).await;
        if is_over(&requests) {
            return;
        }
    }
    if let Some(requests) = requests.upgrade() {
        let _ = requests.send(Request::Leave).await;
    }
}

/// Whether the bus got stuck, and not the dispatcher gone.
async fn until_stuck(requests: &mpsc::WeakSender<Request>) -> bool {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closing: Option<Closing> = None;
    let mut in_vain = 0;
    loop {
        looks.tick().await;
        if is_over(requests) {
            return false;
        }
        in_vain = if closing.as_ref().is_some_and(|closing| !closing.is_over()) { in_vain + 1 } else { 0 };
        match in_vain {
            // No thread can be had: that is no word about the bus.
            0 => closing = Closing::begin().ok(),
            LOOKS => return true,
            _ => {}
        }
    }
}

fn is_over(requests: &mpsc::WeakSender<Request>) -> bool {
    requests.upgrade().is_none_or(|requests| requests.is_closed())
}
