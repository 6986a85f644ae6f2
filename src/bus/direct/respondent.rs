//! RESPONDENT: questions are read by one thread; answers are written where they are given.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::dialled::{Connection, Dialled};
use super::frame::{self, Greetings};
use crate::bus::{Body, BusError, Endpoint, Peer};

const GREETINGS: Greetings = Greetings { own: frame::RESPONDENT, theirs: frame::SURVEYOR };

/// Questions that may wait to be answered; more wait in the socket.
const ROOM: usize = 2;

/// Answers surveys from one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Respondent {
    incoming: mpsc::Receiver<Asked>,
    dialled: Dialled,
}

impl Respondent {
    pub(in crate::bus) fn dial(endpoint: &Endpoint) -> Result<Self, BusError> {
        let (questions, incoming) = mpsc::channel(ROOM);
        let heard = move |message: Vec<u8>, connection: &Arc<Connection>| {
            let Ok(start) = frame::split_request(&message) else { return ControlFlow::Break(()) };
            // One that has gone round in circles is answered by nobody.
            let Some(start) = start else { return ControlFlow::Continue(()) };
            let asked = Asked { body: Body::after(message, start), connection: Arc::clone(connection) };
            // An error means that nobody is left who would answer.
            questions.blocking_send(asked).map_or(ControlFlow::Break(()), ControlFlow::Continue)
        };
        let dialled = Dialled::start("plugbus-survey", endpoint, GREETINGS, heard)?;
        Ok(Self { incoming, dialled })
    }

    pub(in crate::bus) async fn next(&mut self) -> Option<Asked> {
        self.incoming.recv().await
    }

    /// Tells whether a surveyor is connected, now and whenever that changes.
    pub(in crate::bus) fn presence(&self) -> watch::Receiver<bool> {
        self.dialled.presence()
    }
}

/// A question that waits for its answer; dropped without one, the surveyor gets none.
#[derive(Debug)]
pub(in crate::bus) struct Asked {
    body: Body,
    connection: Arc<Connection>,
}

impl Asked {
    pub(in crate::bus) fn body(&self) -> &Body {
        &self.body
    }

    pub(in crate::bus) fn peer(&self) -> Peer {
        self.connection.peer
    }

    pub(in crate::bus) fn gone(&self) -> watch::Receiver<bool> {
        self.connection.gone.subscribe()
    }

    /// Writes the answer at once.
    pub(in crate::bus) fn reply(self, body: &[u8]) {
        let header = self.body.header();
        self.connection.write(&[&frame::head(header.len() + body.len())[..], header, body].concat());
    }
}
