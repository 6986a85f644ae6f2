//! Why a command failed.

use std::io;
use std::path::PathBuf;

use plugbus::config::ConfigError;
use plugbus::host::CallError;
use plugbus::supervisor::SupervisorError;

use crate::exit_code::ExitCode;

/// Why a command failed; `exit_code` has what each means to a script.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// What was typed makes no sense, and clap could not know.
    #[error("{0}")]
    Usage(String),
    /// The configuration has problems.
    #[error("the configuration is invalid\n{0}")]
    Config(ConfigError),
    /// A call has no result.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A bus without anybody who looks after it.
    #[error("no supervisor is on the bus at {}: start one with `plugbus supervise`", .0.display())]
    NoSupervisor(PathBuf),
    /// The supervisor does not do what it was asked for.
    #[error("{message}")]
    Refused {
        /// Its words.
        message: String,
        /// What that means to a script.
        exit: ExitCode,
    },
    /// Plugins did not come where an order wanted them.
    #[error("not all of them came where {0} wanted them; `plugbus status` has more")]
    NotDone(String),
    /// An order takes longer than somebody wanted to wait; it goes on.
    #[error("{what} is still under way after {}; `plugbus status` shows how it goes", humantime::format_duration(*.timeout))]
    StillUnderWay {
        /// The order.
        what: String,
        /// How long was waited.
        timeout: std::time::Duration,
    },
    /// The supervisor could not do its work.
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    /// The daemon did not start, and has said why; this is its exit code.
    #[error("the daemon did not start")]
    Daemon(i32),
    /// Plugins were killed instead of stopped, because somebody insisted.
    #[error("stopped by force: plugins were killed, and what they were doing is lost")]
    Forced,
    /// A signal ended the command before it was done.
    #[error("interrupted by {0}")]
    Interrupted(&'static str),
    /// Something is not what somebody vouched for, or cannot be vouched for.
    #[error("{0}")]
    Trust(String),
    /// A signal ended a call, and with it what the plugin did for it.
    #[error("interrupted by {0}; the call was cancelled, and may have run")]
    Cancelled(&'static str),
    /// The demo did not go as it should.
    #[error("the demo failed: {0}")]
    Demo(String),
    /// Standard output does not take any more.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// The operating system refused.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried, in words.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
}

impl CommandError {
    /// To be given to `map_err`: what was tried, in words.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what: what.into(), source }
    }

    /// Whether nobody reads what is printed, which is the reader's right and no error.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
