//! The sink: a process that reads the pipes of all plugins and writes their logs, and outlives the supervisor.
//!
//! # Theory of operation
//!
//! The supervisor starts `COMMAND BUS-DIRECTORY` with a listening socket, `state/sink.sock`, as its standard input,
//! and connects to it. Over that connection it hands over the reading ends of each plugin's pipes (SCM_RIGHTS) and
//! keeps a copy of each itself. So:
//!
//! - The supervisor dies: the sink reads on. The next supervisor connects and is given everything back: the
//!   pipes, what was printed last, what was dropped.
//! - The sink dies: the supervisor starts another and hands the pipes over again ([`keeper`]). What the dead one had
//!   read and not yet written is lost; what was still in the pipes is not.
//! - No sink can be started: the supervisor reads the pipes itself.
//!
//! The sink ends when no supervisor is connected and no pipe is open. Each message is a length (u32, little endian)
//! and JSON ([`message`]); descriptors come with the first byte of their message ([`link`]).

mod keeper;
mod link;
mod message;
mod orders;
mod process;
mod server;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub(super) use keeper::Keeper;
pub(super) use message::News;
pub(super) use orders::Orders;
pub use server::run_sink;

use crate::bus::BusDir;
use crate::supervisor::LogSpec;

/// Where a sink is, and how one is started.
#[derive(Debug, Clone)]
pub(super) struct Place {
    bus: PathBuf,
    socket: PathBuf,
    command: Vec<String>,
    spec: LogSpec,
}

impl Place {
    pub(super) fn new(dir: &BusDir, command: Vec<String>, spec: LogSpec) -> Self {
        Self { bus: dir.path().into(), socket: dir.sink_socket(), command, spec }
    }
}
