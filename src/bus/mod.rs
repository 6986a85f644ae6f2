//! Endpoints, the six roles, the bus directory and its cards.
//!
//! The only place that names NNG (`nng/`); what a message means is not known here. A role is made by listening
//! or dialling and then asked for the next thing: [`Requester`] and [`Replier`] carry calls (`roles`), [`Surveyor`] and
//! [`Respondent`] the survey, [`Publisher`] and [`Subscriber`] the events (`survey`), over NNG or past it (`direct/`).
//! [`BusDir`] is the registry: a directory with sockets and [`Card`]s.

mod block_on;
mod body;
#[cfg(target_os = "linux")]
pub(crate) mod buffers;
mod card;
mod counterpart;
mod crowd;
#[cfg(target_os = "linux")]
mod direct;
mod directory;
mod endpoint;
mod error;
mod guests;
mod incoming;
mod lane;
mod nng;
mod outgoing;
mod peer;
mod process_id;
mod redial;
mod roles;
#[cfg(test)]
mod strangers;
mod survey;
mod trace;
#[cfg(test)]
mod traps;

pub use block_on::block_on;
pub use body::Body;
pub use card::{Card, new_instance};
pub use counterpart::refused_connections;
#[cfg(all(target_os = "linux", any(feature = "fuzzing", all(test, feature = "config"))))]
pub(crate) use direct::take_apart;
#[cfg(feature = "supervisor")]
pub(crate) use directory::Visitors;
#[cfg(feature = "trust")]
pub(crate) use directory::read_start;
#[cfg(any(feature = "supervisor", feature = "sign"))]
pub(crate) use directory::write_whole;
pub use directory::{BusDir, BusLock};
#[cfg(feature = "supervisor")]
pub(crate) use directory::{NOFOLLOW, read_own};
pub use endpoint::Endpoint;
pub use error::{BusError, RequestError};
#[cfg(feature = "plugin")]
pub(crate) use guests::ALLOWED;
pub use guests::Guests;
pub use incoming::Incoming;
#[cfg(feature = "supervisor")]
pub(crate) use lane::LANE;
pub use lane::Lane;
pub use outgoing::Outgoing;
pub use peer::{Peer, PeerEvent};
pub use process_id::ProcessId;
#[cfg(any(target_os = "linux", feature = "host"))]
pub(crate) use roles::LONGEST;
pub use roles::{Farewell, IfSlow, Replier, Requester, Turn};
pub use survey::{Answers, Publisher, Respondent, Subscriber, Surveyor};
