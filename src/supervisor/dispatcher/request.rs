//! What the outside asks of the dispatcher.

use tokio::sync::oneshot;

use super::changes::Reload;
use super::orders::{OrderAnswer, OrderQuery};
use super::vetting::Vetted;
use super::waiting::{WaitFound, WaitQuery, WaitRefusal};
use crate::supervisor::PluginRequest;
use crate::supervisor::report::{StatusReport, SurveyReport};

/// A question or an order, and where its answer goes; whoever asked may have gone away meanwhile.
#[derive(Debug)]
pub(in crate::supervisor) enum Request {
    Status(oneshot::Sender<StatusReport>),
    /// Answers when the loop comes round.
    Ping(oneshot::Sender<()>),
    /// A round of everybody's answers, asked for this caller.
    Survey(oneshot::Sender<SurveyReport>),
    Wait(WaitQuery, oneshot::Sender<Result<WaitFound, WaitRefusal>>),
    /// Answers when every plugin that is to run is ready, or with those that will never be.
    WaitReady(oneshot::Sender<Result<(), Vec<NotReady>>>),
    /// The plugins that are to run and are not ready at this moment.
    NotReady(oneshot::Sender<Vec<NotReady>>),
    Order(OrderQuery, OrderAnswer),
    Scale {
        name: String,
        replicas: u32,
        wait: bool,
        answer: OrderAnswer,
    },
    Add {
        request: PluginRequest,
        wait: bool,
        answer: OrderAnswer,
    },
    Reload(Reload),
    /// It is known by now whether plugins would be started again.
    Vetted(Vetted),
    /// The files of these plugins were made anew.
    Rebuilt(Vec<String>),
    /// Stop every plugin, then end.
    Stop,
    /// End, and leave every plugin as it is.
    Leave,
}

/// A plugin that is not ready, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct NotReady {
    pub(in crate::supervisor) name: String,
    pub(in crate::supervisor) reason: String,
}
