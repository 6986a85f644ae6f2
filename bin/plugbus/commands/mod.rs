//! One file a command, and what several of them need.

mod call;
mod check;
mod completions;
mod control;
mod demo;
mod describe;
mod lookup;
mod signals;
mod status;
mod supervise;
mod survey;

use crate::args::Command;
use crate::error::CommandError;
use crate::settings::Settings;

/// Does what was typed.
pub(crate) fn run(settings: &Settings, command: &Command) -> Result<(), CommandError> {
    match command {
        Command::Supervise(args) => supervise::run(settings, args),
        Command::Call(args) => call::run(settings, args),
        Command::Status(args) => status::run(settings, args),
        Command::Survey(args) => survey::run(settings, args),
        Command::Describe(args) => describe::run(settings, args),
        Command::Check(args) => check::run(settings, args),
        Command::Demo => demo::run(settings),
        Command::Completions { shell } => completions::run(*shell),
    }
}
