//! The supervisor's own methods: it is on its bus as the plugin `supervisor`, served like any other.
//!
//! There is no second control protocol. A method ([`methods`]) turns its call into a request to the dispatcher and
//! waits for the answer; nothing is decided here. A call whose caller has gone is dropped, and its request with
//! it. The [`Reloader`] reads the configuration anew, however many ask for that at once.

mod methods;
mod reloader;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::dispatcher::Request;
use super::{SupervisorError, SupervisorSpec};
use crate::bus::{BusDir, Card, ProcessId, new_instance};
use crate::plugin::{ServeError, Stopper};
use crate::wire::PROTOCOL;
use methods::Desk;
pub(super) use reloader::{Loader, ReloadRefusal, Reloader};

/// The plugin name of the supervisor; nobody else may have it.
pub(super) const OWN_NAME: &str = "supervisor";

/// Calls at once: each caller whose plugin is being restarted waits in one.
const CALLS: usize = 256;

/// How long the end waits for callers to be answered.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

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
    pub(super) fn start(
        dir: &BusDir,
        requests: &mpsc::Sender<Request>,
        reloader: Option<Reloader>,
        spec: &SupervisorSpec,
    ) -> Result<Self, SupervisorError> {
        let instance = new_instance();
        let endpoint = dir.endpoint(OWN_NAME, &instance)?;
        // Only a process that is nothing but a supervisor may be replaced as a whole.
        let desk = Desk::new(requests.clone(), reloader, spec.adopts_orphans);
        let plugin = desk.plugin().concurrency(CALLS).lane(spec.lane);
        let info = plugin.info();
        let server = plugin.start(OWN_NAME, &instance, &endpoint, None).map_err(|error| match error {
            ServeError::Bus(error) => SupervisorError::Bus(error),
            error => SupervisorError::Control(error.to_string()),
        })?;
        dir.publish(&Card {
            name: OWN_NAME.into(),
            instance: instance.clone(),
            version: info.version,
            process: ProcessId::own(),
            protocol: PROTOCOL,
            protocol_max: None,
            url: endpoint.to_string(),
            methods: info.methods,
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
