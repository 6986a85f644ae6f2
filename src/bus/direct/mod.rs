//! The direct lane: all six roles spoken on Unix sockets without NNG in between.
//!
//! The bytes are those of NNG (`frame`), the hand-offs between threads are not: a caller writes on its own
//! thread; who reads the replies is `pending`'s business, driven by the callers' threads (`caller`) or by one task
//! a connection (`task`). A replier has a crew of threads (`crew`) that read requests and run what answers them
//! at once; whoever takes long keeps the thread, and another one goes on with the connection. Who speaks to everybody at once
//! has one thread that hears them all (`hub`), and who is asked or told has one that connects and reads (`dialled`).

mod caller;
mod connection;
mod crew;
mod dialled;
mod door;
mod frame;
mod home;
mod hub;
mod incoming;
mod line;
mod outbound;
mod pending;
mod publisher;
mod replier;
mod requester;
mod respondent;
mod seats;
mod serving;
mod socket;
mod spin;
mod standby;
mod state;
mod staying;
mod subscriber;
mod surveyor;
mod task;
#[cfg(test)]
mod tests;

pub(super) use crew::Turn;
#[cfg(any(feature = "fuzzing", all(test, feature = "config")))]
pub(crate) use frame::take_apart;
pub(super) use incoming::Incoming;
pub(super) use publisher::Publisher;
pub(super) use replier::Replier;
pub(super) use requester::{Requester, deadline};
pub(super) use respondent::{Asked, Respondent};
pub(super) use subscriber::Subscriber;
pub(super) use surveyor::Surveyor;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A panic elsewhere leaves what these locks guard as it should be.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
