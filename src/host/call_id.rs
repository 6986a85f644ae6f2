//! Names for calls, so that they can be cancelled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::bus::new_instance;
use crate::wire::{RequestHead, builtin};

/// Nobody waits for the answer.
const TTL: Duration = Duration::from_secs(1);

/// Gives each call of a bus a name that nobody guesses and nobody else uses.
#[derive(Debug)]
pub(super) struct CallIds {
    prefix: String,
    next: AtomicU64,
}

impl Default for CallIds {
    fn default() -> Self {
        Self { prefix: new_instance(), next: AtomicU64::new(0) }
    }
}

impl CallIds {
    pub(super) fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}-{number:x}", self.prefix)
    }
}

/// The message that stops the call of that name.
pub(super) fn cancel(id: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Params<'a> {
        id: &'a str,
    }
    // A map with one text in it always serialises.
    RequestHead::new(builtin::CANCEL, TTL).encode(&Params { id }).unwrap_or_default()
}
