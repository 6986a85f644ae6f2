//! `plugbus demo`: the whole story in one command.
//!
//! Everything happens in this process and in a directory that nobody else knows. Whatever ends the story early, a
//! signal, a failure, a reader that went away, the way out is the same: stop the supervisor, end the runtime
//! (which kills what would still run), remove the directory, look whether anything is left.

mod leftovers;
mod stage;
mod story;

use std::time::{Duration, Instant};

use plugbus::supervisor::Supervisor;
use tokio::runtime::Runtime;

use self::stage::Stage;
use self::story::Story;
use super::signals::Interrupts;
use crate::error::CommandError;
use crate::log::Log;
use crate::output;
use crate::settings::Settings;

pub(super) fn run(settings: &Settings) -> Result<(), CommandError> {
    let _log = (settings.verbosity > 0).then(|| Log::start(&settings.log_filter())).transpose()?;
    let runtime = Runtime::new().map_err(CommandError::system("start the runtime"))?;
    // Before anything is there that a signal could leave behind.
    let interrupts = runtime.block_on(async { Interrupts::new() })?;
    let stage = Stage::new()?;
    let played = runtime.block_on(play(&stage, interrupts));
    drop(runtime);
    let begun = Instant::now();
    let cleared = stage.clear();
    played?;
    cleared?;
    say("checked", "no process and no file is left", begun.elapsed())
}

/// Plays the story to its end or to the first signal, then stops everything.
async fn play(stage: &Stage, mut interrupts: Interrupts) -> Result<(), CommandError> {
    let begun = Instant::now();
    let supervisor = tokio::select! {
        started = Supervisor::start(stage.spec()?) => started?,
        signal = interrupts.next() => return Err(CommandError::Interrupted(signal)),
    };
    let story = Story::new(stage, &supervisor);
    let told = tokio::select! {
        told = story.tell(begun) => told,
        signal = interrupts.next() => Err(CommandError::Interrupted(signal)),
    };
    let begun = Instant::now();
    tokio::select! {
        () = supervisor.stop() => {}
        signal = interrupts.next() => return Err(CommandError::Interrupted(signal)),
    }
    told?;
    say("stopped", "the plugin and the supervisor", begun.elapsed())
}

/// One line: how long it took and what happened.
fn say(verb: &str, what: &str, took: Duration) -> Result<(), CommandError> {
    use std::io::Write;

    use crate::output::{BOLD, DIM, GOOD};
    let took = crate::span::span(took);
    output::print(|out| writeln!(out, "{DIM}{took:>8}{DIM:#}  {GOOD}✓{GOOD:#} {BOLD}{verb:<7}{BOLD:#}  {what}"))
}
