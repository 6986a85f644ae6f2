//! PUB: one message to everybody who listens at the moment.

use super::frame::{self, Greetings, Malformed};
use super::hub::{Ears, Hub};
use crate::bus::{BusError, Endpoint, Guests, Peer};

const GREETINGS: Greetings = Greetings { own: frame::PUBLISHER, theirs: frame::SUBSCRIBER };

/// Tells everybody who is connected to one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Publisher(Hub);

impl Publisher {
    pub(in crate::bus) fn listen(endpoint: &Endpoint) -> Result<Self, BusError> {
        Hub::open("plugbus-events", endpoint, &Guests::default(), GREETINGS, Deaf).map(Self)
    }

    pub(in crate::bus) fn publish(&self, message: &[u8]) {
        self.0.tell(&[&frame::head(message.len())[..], message].concat());
    }
}

/// Subscribers have nothing to say.
struct Deaf;

impl Ears for Deaf {
    fn heard(&mut self, _: Peer, _: Vec<u8>) -> Result<(), Malformed> {
        Err(Malformed)
    }
}
