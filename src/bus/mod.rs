//! Endpoints, the six roles, the bus directory and its cards.
//!
//! The only place that names NNG (`nng/`); what a message means is not known here. A role is made by listening
//! or dialling and then asked for the next thing: [`Requester`] and [`Replier`] carry calls, [`Surveyor`] and
//! [`Respondent`] the survey, [`Publisher`] and [`Subscriber`] the events. [`BusDir`] is the registry: a directory with sockets and [`Card`]s.

mod block_on;
mod body;
mod card;
mod directory;
mod endpoint;
mod error;
mod nng;
mod process_id;

pub use block_on::block_on;
pub use body::Body;
pub use card::{Card, new_instance};
pub use directory::{BusDir, BusLock};
#[cfg(feature = "supervisor")]
pub(crate) use directory::{read_start, write_whole};
pub use endpoint::Endpoint;
pub use error::{BusError, RequestError};
pub use nng::{Answers, Incoming, Peer, PeerEvent, Publisher, Replier, Requester, Respondent, Subscriber, Surveyor};
pub use process_id::ProcessId;
