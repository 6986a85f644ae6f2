//! `$next`, `$put` and `$close`.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Streams;
use super::keeper::Closer;
use super::line::Line;
use crate::bus::Incoming;
use crate::wire::{Close, Code, Fault, Next, Put, Raw, Reply, builtin};

/// One of the built-in methods that are about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plugin) enum Asked {
    Next,
    Put,
    Close,
}

impl Asked {
    /// The one of that name.
    pub(in crate::plugin) fn named(method: &str) -> Option<Self> {
        match method {
            builtin::NEXT => Some(Self::Next),
            builtin::PUT => Some(Self::Put),
            builtin::CLOSE => Some(Self::Close),
            _ => None,
        }
    }

    /// Answers, at once or when there is something to answer.
    pub(in crate::plugin) fn of(
        self,
        streams: &Streams,
        incoming: Incoming,
        params: Option<Range<usize>>,
        ttl: Duration,
    ) {
        // In time to be read before the caller stops waiting.
        let until = Instant::now() + ttl * 3 / 4;
        match self.take(streams, &incoming, params.clone()) {
            Err(fault) => incoming.reply(&Reply::encode_error(&fault)),
            Ok((line, Taken::Close)) => {
                let was_open = line.is_some_and(|line| line.close(Closer::Caller));
                incoming.reply(&Reply::encode_result(&was_open).unwrap_or_default());
            }
            Ok((Some(line), Taken::Next(next))) => {
                line.next(
                    incoming,
                    &Next { stream: &line.id, from: next.0, max: next.1, bytes: next.2, keep_ms: next.3 },
                    until,
                );
            }
            Ok((Some(line), Taken::Put)) => line.put(incoming, params.unwrap_or_default(), until),
            Ok((None, _)) => {
                let message =
                    "there is no such stream here: it has ended, was closed, or was left alone for too long";
                incoming.reply(&Reply::encode_error(&Fault::new(Code::BadParams, message)));
            }
        }
    }

    fn take(
        self,
        streams: &Streams,
        incoming: &Incoming,
        params: Option<Range<usize>>,
    ) -> Result<(Option<Arc<Line>>, Taken), Fault> {
        let raw = params.and_then(|params| incoming.body().get(params)).map_or(Raw::NIL, Raw::checked_before);
        let refused = |takes: &str, error| Fault::new(Code::BadParams, format!("{takes}: {error}"));
        Ok(match self {
            Self::Next => {
                let next = Next::read(raw).map_err(|error| refused("$next takes {stream, from?, max?}", error))?;
                (streams.find(next.stream), Taken::Next((next.from, next.max, next.bytes, next.keep_ms)))
            }
            Self::Put => {
                let put = Put::read(raw).map_err(|error| refused("$put takes {stream, from?, items}", error))?;
                (streams.find(put.stream), Taken::Put)
            }
            Self::Close => {
                let close = Close::read(raw).map_err(|error| refused("$close takes {stream}", error))?;
                (streams.find(close.stream), Taken::Close)
            }
        })
    }
}

/// What was asked, without the message it came in.
enum Taken {
    Next((Option<u64>, Option<u64>, Option<u64>, Option<u64>)),
    Put,
    Close,
}
