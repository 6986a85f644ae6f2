//! What a supervisor and its sink say to each other. Unknown fields are ignored.

use serde::{Deserialize, Serialize};

use super::super::chunk::Stream;
use super::super::source::Told;
use crate::supervisor::LogSpec;

/// What the supervisor wants of its sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(super) enum Wish {
    /// The first message: how logs are kept, and whether plugins' output is to be shown.
    Hello { log: LogSpec, show: bool },
    /// Read these pipes, one for each stream; `again` after another sink.
    Take { name: String, instance: String, streams: Vec<Stream>, again: bool },
    /// Close the pipes of an instance, if they are still open, and forget it.
    Release { instance: String },
    /// Keep logs otherwise from now on.
    Log { log: LogSpec },
    /// Answer, to show that you are well.
    Ping { number: u64 },
    /// Make way for another sink, which will be given the pipes.
    Leave,
}

/// What a sink tells the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case")]
pub(in crate::supervisor::output) enum News {
    /// An instance that it knows already, with a pipe for each stream that is still open.
    Have { name: String, instance: String, streams: Vec<Stream>, ended: bool, told: Told },
    /// That was all it knows. Who it is.
    Ready { pid: u32, version: String },
    /// What an instance has printed lately.
    Said { instance: String, told: Told },
    /// Both pipes of an instance have ended.
    Ended { instance: String, told: Told },
    /// The answer to a ping.
    Pong { number: u64 },
    /// Output, to be shown to whoever watches the supervisor.
    Shown { name: String, stream: Stream, text: String, withheld: u64 },
    /// Something about a log file that somebody should know.
    Note { is_error: bool, text: String },
}

/// A message, and how many descriptors come with it.
pub(super) trait Carries {
    fn descriptors(&self) -> usize;
}

impl Carries for Wish {
    fn descriptors(&self) -> usize {
        match self {
            Self::Take { streams, .. } => streams.len(),
            _ => 0,
        }
    }
}

impl Carries for News {
    fn descriptors(&self) -> usize {
        match self {
            Self::Have { streams, .. } => streams.len(),
            _ => 0,
        }
    }
}
