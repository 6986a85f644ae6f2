//! The six roles over NNG; the direct lane has them as well.
//!
//! Everything here follows from how NNG behaves, and each rule stands where it bites: `aio` fences what may not
//! be dropped in a callback, `requester` never lets NNG send twice, `surveyor` loses no answer. NNG calls back on its
//! own threads, so a callback stores what came, wakes, and returns.

mod aio;
mod answerer;
mod dialling;
mod gate;
mod library;
mod peers;
mod publisher;
mod requester;
mod subscriber;
mod surveyor;

use std::time::Duration;

pub(super) use answerer::{Incoming, Replier, Respondent};
pub(super) use publisher::Publisher;
pub(super) use requester::Requester;
pub(super) use subscriber::Subscriber;
pub(super) use surveyor::Surveyor;

use super::{BusError, Endpoint};
use crate::wire::MAX_MESSAGE;

/// What NNG may read as one message: its limit counts the four bytes of the id, the protocol's does not.
const MAX_FRAME: usize = MAX_MESSAGE + 4;

/// The shortest and longest wait before a lost connection is tried again; NNG's own 1 s is an age.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// NNG's reason in our words.
fn refused(what: &'static str, endpoint: &Endpoint, error: nng::Error) -> BusError {
    match error {
        nng::Error::AddressInUse => BusError::InUse(endpoint.to_string()),
        error => BusError::transport(what, endpoint, error),
    }
}
