//! What came back: a result, a stream, or why not.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Waits, text};
use crate::bus::{Body, Card};
use crate::host::CallError;
use crate::host::discovery::Listed;
use crate::host::links::Held;
use crate::host::stream::{Line, Reader};
use crate::wire::{Code, CodecError, Protocols, Raw, Reply};

/// Why an instance did not answer the call.
pub(super) enum Refused {
    /// It could not be reached: another instance may.
    NotSent,
    /// It is about to go, and promises not to have started the call.
    Draining,
    /// It has as many calls as it takes, and promises not to have started this one.
    Busy(CallError),
    /// For a reason that is the caller's to know.
    For(CallError),
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        Self::For(error)
    }
}

/// A result, still in the message it came in.
pub(super) struct Answer {
    pub(super) plugin: Arc<str>,
    body: Body,
    /// `None` where it was left out.
    result: Option<Range<usize>>,
    /// Where it has opened a stream, and whether that takes items.
    pub(super) line: Option<(Arc<Line>, bool)>,
}

impl Answer {
    pub(super) fn of(card: &Listed, link: &Held<'_>, body: Body, asks: (Duration, Waits)) -> Result<Self, Refused> {
        let fault = match Reply::decode(&body) {
            Ok(Reply::Result(result)) => {
                let result = result.range_in(&body);
                return Ok(Self { plugin: Arc::clone(&card.plugin), body, result, line: None });
            }
            Ok(Reply::Error(fault)) => fault,
            Ok(Reply::Stream(opened)) => {
                let line = (Arc::new(Line::new(opened.id, card, link.share(), asks)), opened.credit.is_some());
                return Ok(Self { plugin: Arc::clone(&card.plugin), body, result: None, line: Some(line) });
            }
            Err(error) => return Err(unreadable(card, error).into()),
        };
        match fault.code {
            Code::Draining | Code::StaleInstance => Err(Refused::Draining),
            Code::Busy => Err(Refused::Busy(CallError::Plugin { plugin: card.name.clone(), fault })),
            _ => Err(CallError::Plugin { plugin: card.name.clone(), fault }.into()),
        }
    }

    /// The answer, where it is a value and no stream.
    pub(super) fn value(self) -> Result<Self, CallError> {
        match self.line {
            None => Ok(self),
            Some((line, _)) => {
                line.close();
                Err(CallError::Streams { plugin: self.plugin.as_ref().into() })
            }
        }
    }

    pub(super) fn reader<T>(self) -> Reader<T> {
        match (self.line, self.result) {
            (Some((line, _)), _) => Reader::new(line),
            (None, result) => Reader::of_value(self.plugin, self.body, result.unwrap_or_default()),
        }
    }

    /// The result as a type of the caller's.
    pub(super) fn read<R: DeserializeOwned>(self) -> Result<R, CallError> {
        let read = match self.result {
            Some(result) => text::read(self.body, result),
            None => Raw::NIL.to(),
        };
        read.map_err(|error| CallError::Reply { plugin: self.plugin.as_ref().into(), error })
    }

    pub(super) fn result(&self) -> &[u8] {
        self.result.clone().map_or(Raw::NIL.bytes(), |result| &self.body[result])
    }
}

fn unreadable(card: &Card, error: CodecError) -> CallError {
    if let CodecError::Version(theirs) = error {
        let theirs = Protocols::new(theirs.try_into().unwrap_or(u32::MAX), None);
        return CallError::Protocol { plugin: card.name.clone(), theirs };
    }
    CallError::Reply { plugin: card.name.clone(), error }
}
