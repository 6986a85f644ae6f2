//! The signals that ask a command to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CommandError;

/// Ctrl-C, what `kill` sends, and the end of the terminal; none of them ends the process while this exists.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interrupts {
    pub(super) fn new() -> Result<Self, CommandError> {
        let listen = |kind| signal(kind).map_err(CommandError::system("listen for signals"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one and names it; may be dropped at any time.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}

/// Runs until it ends or a signal ends it, which drops it and is an error.
pub(super) fn or_interrupted<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    runtime()?.block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            ended = work => ended,
            signal = interrupts.next() => Err(CommandError::Cancelled(signal)),
        }
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(CommandError::system("start the runtime"))
}

/// Runs until it ends or somebody presses Ctrl-C, which is how one ends it.
pub(super) fn until_interrupted(work: impl Future<Output = Result<(), CommandError>>) -> Result<(), CommandError> {
    runtime()?.block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            ended = work => ended,
            _ = interrupts.next() => Ok(()),
        }
    })
}
