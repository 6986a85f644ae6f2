//! One file a command, and what several of them need.

mod add;
mod call;
mod check;
mod completions;
mod control;
mod demo;
mod describe;
mod detach;
mod events;
mod keygen;
mod lock;
mod logs;
mod lookup;
mod order;
mod reload;
mod replace;
mod scale;
mod sign;
mod signals;
mod stats;
mod status;
mod supervise;
mod survey;
mod unit;
mod verify;

use plugbus::supervisor::run_sink;

use crate::args::Command;
use crate::error::CommandError;
use crate::settings::Settings;

/// Does what was typed.
pub(crate) fn run(settings: &Settings, command: &Command) -> Result<(), CommandError> {
    match command {
        Command::Supervise(args) => supervise::run(settings, args),
        Command::Call(args) => call::run(settings, args),
        Command::Status(args) => status::run(settings, args),
        Command::Stats(args) => stats::run(settings, args),
        Command::Survey(args) => survey::run(settings, args),
        Command::Describe(args) => describe::run(settings, args),
        Command::Logs(args) => logs::run(settings, args),
        Command::Events(args) => events::run(settings, args),
        Command::Start(args) => order::run(settings, "start", args),
        Command::Stop(args) => order::stop(settings, args),
        Command::Restart(args) => order::restart(settings, args),
        Command::Reload(args) => reload::run(settings, args),
        Command::Reset(args) => order::run(settings, "reset", args),
        Command::Enable(args) => order::run(settings, "enable", args),
        Command::Disable(args) => order::run(settings, "disable", args),
        Command::Scale(args) => scale::run(settings, args),
        Command::Add(args) => add::run(settings, args),
        Command::Remove(args) => order::run(settings, "remove", args),
        Command::Check(args) => check::run(settings, args),
        Command::Lock(args) => lock::run(settings, args),
        Command::Keygen(args) => keygen::run(args),
        Command::Sign(args) => sign::run(args),
        Command::Verify(args) => verify::run(settings, args),
        Command::Demo => demo::run(settings),
        Command::Unit(args) => unit::run(settings, args),
        Command::Sink { directory } => Ok(run_sink(directory)?),
        Command::Completions { shell } => completions::run(*shell),
    }
}
