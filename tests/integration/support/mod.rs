//! Starts what a test needs, waits for conditions, ends what it started.

mod calling;
mod command;
mod eventually;
mod plugins;
mod process;
mod processes;
mod raw;
mod stage;
mod tools;

pub(crate) use calling::{noted, with_calls};
pub(crate) use command::{Bench, TEXT, exit_code, running, send};
pub(crate) use eventually::{eventually, eventually_or};
pub(crate) use plugins::{PATIENT, QUICK, misbehaving, plugin, sdk_plugin, sdk_plugin_of, text_plugin};
pub(crate) use process::{PluginProcess, text, text_on};
pub(crate) use processes::{processes_of, signal, with_argument, zombies_of};
pub(crate) use raw::{RawCaller, golden, refused_requests};
pub(crate) use stage::{LONG, Stage};
pub(crate) use tools::{jumping_clock, mangos, missing, nanocat, nngcat, python, slow_accept};
