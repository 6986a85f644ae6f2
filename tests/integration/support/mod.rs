//! Starts what a test needs, waits for conditions, ends what it started.

mod command;
mod eventually;
mod process;
mod raw;
mod tools;

pub(crate) use command::{Bench, TEXT, running, send};
pub(crate) use eventually::eventually;
pub(crate) use process::{PluginProcess, text};
pub(crate) use raw::{RawCaller, golden, refused_requests};
pub(crate) use tools::{mangos, nngcat, python};
