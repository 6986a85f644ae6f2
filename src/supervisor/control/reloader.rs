//! Reads the configuration anew, at most so often, however many ask for it.
//!
//! Whoever asks while it is being read shares the next reading: a thousand reloads a second cost as much as ten.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::supervisor::SupervisorSpec;
use crate::supervisor::dispatcher::{Reload, Request};
use crate::supervisor::report::ReloadReport;

/// The shortest time from one reading to the next.
const PAUSE: Duration = Duration::from_millis(100);

/// Askers that may wait; whoever comes later waits to be let in.
const ASKERS: usize = 256;

/// Reads the configuration; what is wrong with it comes in words for people.
#[derive(Clone)]
pub(in crate::supervisor) struct Loader(Arc<Load>);

type Load = dyn Fn() -> Result<SupervisorSpec, String> + Send + Sync;

impl Loader {
    pub(in crate::supervisor) fn new(
        load: impl Fn() -> Result<SupervisorSpec, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(load))
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loader")
    }
}

/// Why nothing was reloaded; what runs stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::supervisor) enum ReloadRefusal {
    #[error("the configuration is invalid\n{problems}")]
    BadConfiguration { problems: String },
    #[error("the supervisor is stopping")]
    Stopping,
}

type Answer = oneshot::Sender<Result<ReloadReport, ReloadRefusal>>;

/// The way in to the task that reads; the task ends with the last of these.
#[derive(Debug, Clone)]
pub(in crate::supervisor) struct Reloader {
    askers: mpsc::Sender<(bool, Answer)>,
}

impl Reloader {
    pub(in crate::supervisor) fn start(loader: Loader, requests: mpsc::Sender<Request>) -> Self {
        let (askers, asked) = mpsc::channel(ASKERS);
        tokio::spawn(run(loader, requests, asked));
        Self { askers }
    }

    /// Reads the configuration and takes it over, or only says what that would change.
    ///
    /// # Errors
    /// [`ReloadRefusal::BadConfiguration`] where the configuration is wrong; what runs then stays as it is.
    ///
    /// # Cancel safety
    /// Dropping the future does not take the order back.
    pub(in crate::supervisor) async fn reload(&self, plan: bool) -> Result<ReloadReport, ReloadRefusal> {
        let (answer, answered) = oneshot::channel();
        self.askers.send((plan, answer)).await.map_err(|_| ReloadRefusal::Stopping)?;
        answered.await.map_err(|_| ReloadRefusal::Stopping)?
    }
}

async fn run(loader: Loader, requests: mpsc::Sender<Request>, mut asked: mpsc::Receiver<(bool, Answer)>) {
    let mut earliest = Instant::now();
    while let Some(first) = asked.recv().await {
        tokio::time::sleep_until(earliest).await;
        earliest = Instant::now() + PAUSE;
        let mut askers = vec![first];
        while let Ok(next) = asked.try_recv() {
            askers.push(next);
        }
        let load = Arc::clone(&loader.0);
        let spec = tokio::task::spawn_blocking(move || load()).await.unwrap_or_else(|error| Err(error.to_string()));
        let (plans, orders): (Vec<_>, Vec<_>) = askers.into_iter().partition(|(plan, _)| *plan);
        // Plans first: after the order there is nothing left to foresee.
        for (plan, askers) in [(true, plans), (false, orders)] {
            if !askers.is_empty() {
                let result = hand_over(&spec, plan, &requests).await;
                askers.into_iter().for_each(|(_, asker)| drop(asker.send(result.clone())));
            }
        }
    }
}

async fn hand_over(
    spec: &Result<SupervisorSpec, String>,
    plan: bool,
    requests: &mpsc::Sender<Request>,
) -> Result<ReloadReport, ReloadRefusal> {
    let spec = spec.clone().map_err(|problems| ReloadRefusal::BadConfiguration { problems })?;
    let (answer, answered) = oneshot::channel();
    let reload = Reload { spec: Box::new(spec), plan, answer };
    requests.send(Request::Reload(reload)).await.map_err(|_| ReloadRefusal::Stopping)?;
    let report = answered.await.map_err(|_| ReloadRefusal::Stopping)?;
    report.map_err(|_| ReloadRefusal::Stopping)
}
