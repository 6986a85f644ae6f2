//! SUB: everything that one publisher says, while connected to it.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::dialled::{Connection, Dialled};
use super::frame::{self, Greetings};
use crate::bus::survey::UNHEARD;
use crate::bus::{Body, BusError, Endpoint};

const GREETINGS: Greetings = Greetings { own: frame::SUBSCRIBER, theirs: frame::PUBLISHER };

/// Hears what is published at one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Subscriber {
    messages: mpsc::Receiver<Body>,
    dialled: Dialled,
}

impl Subscriber {
    pub(in crate::bus) fn dial(endpoint: &Endpoint) -> Result<Self, BusError> {
        let (sender, messages) = mpsc::channel(UNHEARD);
        let heard = move |message: Vec<u8>, _: &Arc<Connection>| {
            // What comes when so many wait is lost.
            let _ = sender.try_send(Body::after(message, 0));
            ControlFlow::Continue(())
        };
        Ok(Self { messages, dialled: Dialled::start("plugbus-events", endpoint, GREETINGS, heard)? })
    }

    pub(in crate::bus) fn is_connected(&self) -> bool {
        self.dialled.is_connected()
    }

    pub(in crate::bus) async fn next(&mut self) -> Option<Body> {
        self.messages.recv().await
    }
}
