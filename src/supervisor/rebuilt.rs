//! Under `--dev`: looks whether the files of plugins were rebuilt, and has those restarted.
//!
//! By looking at their times a few times a second: a build writes a file in many steps, or puts another one in its
//! place, and a watch on one of both would miss the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::dispatcher::Request;
use crate::trust::Warden;

/// How often is looked; what is still being written changes from one look to the next, and is left until it does not.
const LOOK: Duration = Duration::from_millis(250);

/// Looks until the dispatcher is gone.
pub(super) async fn watch(warden: Arc<Warden>, requests: mpsc::WeakSender<Request>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let looking = Arc::clone(&warden);
        let rebuilt = tokio::task::spawn_blocking(move || looking.rebuilt()).await.unwrap_or_default();
        let Some(requests) = requests.upgrade() else { return };
        if !rebuilt.is_empty() && requests.send(Request::Rebuilt(rebuilt)).await.is_err() {
            return;
        }
    }
}
