//! What a handler answers when it fails, and why a plugin cannot be served.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::bus::BusError;
use crate::wire::{Code, Fault, InvalidName, to_vec};

/// What a handler answers when it fails.
///
/// Every standard error becomes one with `?`; its causes are kept in the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Fault);

impl Failure {
    /// The method's own work went wrong: code `failed`.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Fault::new(Code::Failed, message))
    }

    /// The argument fits its type and yet makes no sense: code `bad_params`.
    pub fn bad_params(message: impl Into<String>) -> Self {
        Self(Fault::new(Code::BadParams, message))
    }

    /// Adds something for programs to read; a value that does not serialise is left out.
    #[must_use]
    pub fn with_data<T: Serialize>(mut self, data: &T) -> Self {
        self.0.data = to_vec(data).ok();
        self
    }

    pub(super) fn into_fault(self) -> Fault {
        self.0
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new(message)
    }
}

/// Why a plugin cannot be served.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A method or plugin name breaks the rules.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Two methods have one name.
    #[error("the method {0:?} is registered twice")]
    Twice(String),
    /// Something is said of a method that was not registered before.
    #[error("the method {0:?} is described and not registered: register it first")]
    Unregistered(String),
    /// The environment is not what a supervisor gives.
    #[error("the environment variable {name} {problem}")]
    Environment {
        /// The variable.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The endpoint or the bus directory cannot be used.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The operating system refuses threads, signals or the like.
    #[error("cannot {0}: {1}")]
    System(&'static str, io::Error),
}

/// As [`Display`](fmt::Display): it is what `main` prints when it returns this.
impl fmt::Debug for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
