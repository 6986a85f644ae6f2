//! The supervisor's own methods: it is on its bus as the plugin `supervisor`, served like any other.
//!
//! There is no second control protocol. A method turns its call into a request to the dispatcher and waits for
//! the answer; nothing is decided here. A call whose caller has gone is dropped, and its request with it.

use std::time::Duration;

use serde::de::IgnoredAny;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::SupervisorError;
use super::dispatcher::{Request, WaitFound, WaitQuery, WaitRefusal};
use super::report::{StatusReport, StopReport, SurveyReport};
use crate::bus::{BusDir, Card, Lane, ProcessId, new_instance};
use crate::plugin::{Failure, Plugin, ServeError, Stopper};
use crate::wire::{MethodInfo, PROTOCOL};

/// The plugin name of the supervisor; nobody else may have it.
pub(super) const OWN_NAME: &str = "supervisor";

/// Calls at once: each caller whose plugin is being restarted waits in one.
const CALLS: usize = 256;

/// How long the end waits for callers to be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

const STATUS: (&str, &str) = ("status", "Where every plugin stands, and why.");
const SURVEY: (&str, &str) = ("survey", "Asks every plugin at once whether it is alive.");
const WAIT: (&str, &str) = ("wait", "Waits for a ready instance of {plugin?, method?} that is not one of {not}.");
const STOP: (&str, &str) = ("stop", "Stops every plugin, then the supervisor.");

/// The supervisor as a plugin, while it is on the bus.
#[derive(Debug)]
pub(super) struct Control {
    dir: BusDir,
    instance: String,
    stopper: Stopper,
    serving: JoinHandle<()>,
}

impl Control {
    /// Serves the methods and publishes the supervisor's card.
    ///
    /// # Errors
    /// [`SupervisorError::Bus`] where the endpoint or the card cannot be made.
    pub(super) fn start(dir: &BusDir, lane: Lane, requests: &mpsc::Sender<Request>) -> Result<Self, SupervisorError> {
        let instance = new_instance();
        let endpoint = dir.endpoint(OWN_NAME, &instance)?;
        let server =
            methods(requests).lane(lane).start(OWN_NAME, &instance, &endpoint, None).map_err(
                |error| match error {
                    ServeError::Bus(error) => SupervisorError::Bus(error),
                    error => SupervisorError::Control(error.to_string()),
                },
            )?;
        dir.publish(&Card {
            name: OWN_NAME.into(),
            instance: instance.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            process: ProcessId::own(),
            protocol: PROTOCOL,
            url: endpoint.to_string(),
            methods: [STATUS, SURVEY, WAIT, STOP].map(info).into(),
        })?;
        let stopper = server.stopper();
        let requests = requests.clone();
        let serving = tokio::spawn(async move {
            server.finished().await;
            // By `$stop`, or because the supervisor stops anyway and nobody receives this.
            let _ = requests.send(Request::Stop).await;
        });
        Ok(Self { dir: dir.clone(), instance, stopper, serving })
    }

    /// Leaves the bus, after the callers of the moment have been answered.
    pub(super) async fn stop(self) {
        self.dir.withdraw(OWN_NAME, &self.instance);
        self.stopper.stop();
        // Over either way: what is still unanswered then belongs to callers that do not read.
        let _ = tokio::time::timeout(LAST_ANSWERS, self.serving).await;
        self.dir.sweep(OWN_NAME, &self.instance);
    }
}

fn methods(requests: &mpsc::Sender<Request>) -> Plugin {
    let [status, survey, wait, stop] = [(); 4].map(|()| Desk { requests: requests.clone() });
    Plugin::new(OWN_NAME, env!("CARGO_PKG_VERSION"))
        .concurrency(CALLS)
        .method_async(STATUS.0, STATUS.1, move |_: IgnoredAny| status.clone().status())
        .method_async(SURVEY.0, SURVEY.1, move |_: IgnoredAny| survey.clone().survey())
        .method_async(WAIT.0, WAIT.1, move |query: WaitQuery| wait.clone().wait(query))
        .method_async(STOP.0, STOP.1, move |_: IgnoredAny| stop.clone().stop())
}

/// Where a method hands in its request.
#[derive(Debug, Clone)]
struct Desk {
    requests: mpsc::Sender<Request>,
}

impl Desk {
    async fn status(self) -> Result<StatusReport, Failure> {
        self.ask(Request::Status).await
    }

    async fn survey(self) -> Result<SurveyReport, Failure> {
        self.ask(Request::Survey).await
    }

    async fn wait(self, query: WaitQuery) -> Result<WaitFound, Failure> {
        let found = self.ask(|answer| Request::Wait(query, answer)).await?;
        found.map_err(|refusal: WaitRefusal| Failure::new(refusal.to_string()).with_data(&refusal))
    }

    /// Answers before anything has stopped: the caller learns the rest from the card that goes.
    async fn stop(self) -> Result<StopReport, Failure> {
        let report = self.ask(Request::Status).await?;
        self.requests.send(Request::Stop).await.map_err(|_| stopping())?;
        let running = report.plugins.iter().filter(|plugin| plugin.state.is_running()).count();
        Ok(StopReport { pid: report.pid, stopping: running.try_into().unwrap_or(u64::MAX) })
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Failure> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())
    }
}

fn stopping() -> Failure {
    let refusal = WaitRefusal::Stopping;
    Failure::new(refusal.to_string()).with_data(&refusal)
}

fn info((name, doc): (&str, &str)) -> MethodInfo {
    MethodInfo { name: name.into(), doc: doc.into(), params: None, result: None, idempotent: false }
}
