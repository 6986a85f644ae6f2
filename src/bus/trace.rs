//! The wire trace: with `PLUGBUS_TRACE=wire` each message is a line on standard error.
//!
//! For people who write a plugin or a caller and want to see what travels. Where it is off it costs one look at a
//! flag a message.

use std::fmt;
use std::io::Write;
use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Endpoint, Peer};
use crate::wire::Shown;

/// The variable that turns it on.
const VARIABLE: &str = "PLUGBUS_TRACE";

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

/// A number that a message and its answer share, in this process; none where nothing is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exchange(Option<NonZeroU64>);

impl Exchange {
    pub(super) fn begin() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(if is_on() { NonZeroU64::new(LAST.fetch_add(1, Ordering::Relaxed) + 1) } else { None })
    }

    #[cfg(target_os = "linux")]
    pub(super) fn is_shown(self) -> bool {
        self.0.is_some()
    }

    /// Shows a message of this exchange.
    pub(super) fn show(self, way: Way, with: impl fmt::Display, body: &[u8]) {
        if let Self(Some(number)) = self {
            let arrow = if way == Way::Out { "->" } else { "<-" };
            line(format_args!("{arrow} {with} #{number} {} bytes {}", body.len(), Shown(body)));
        }
    }

    /// Says that no message follows, and why.
    pub(super) fn end(self, with: impl fmt::Display, why: impl fmt::Display) {
        if let Self(Some(number)) = self {
            line(format_args!("-- {with} #{number} {why}"));
        }
    }
}

/// The last part of an endpoint, which says whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Short<'a>(pub(super) &'a Endpoint);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.path();
        write!(f, "{}", path.file_name().map_or(path.display(), |name| std::path::Path::new(name).display()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "pid {pid}"),
            None => write!(f, "connection {}", self.connection),
        }
    }
}

/// Whether messages are shown; a variable that asks for something else is warned of once.
pub(super) fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| match std::env::var(VARIABLE).unwrap_or_default().as_str() {
        "wire" => true,
        "" => false,
        other => {
            // Whoever sets it looks at standard error, and need not have asked for any log.
            line(format_args!("${VARIABLE} is {other:?}, it can only be `wire`: it is not heeded"));
            false
        }
    })
}

/// One line, whole: other threads and processes write there too.
fn line(text: fmt::Arguments<'_>) {
    // The same clock in every process, so that their lines can be put in order.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = now.tv_nsec / 1000;
    let line = format!("{}.{micros:06} {}[{}] {text}\n", now.tv_sec, who(), std::process::id());
    // Nobody may read it; the message goes its way all the same.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The plugin's name, or the program's.
fn who() -> &'static str {
    static WHO: OnceLock<String> = OnceLock::new();
    WHO.get_or_init(|| {
        let program = || {
            let path = std::env::args_os().next()?;
            Some(std::path::Path::new(&path).file_name()?.to_string_lossy().into_owned())
        };
        std::env::var("PLUGBUS_NAME").ok().filter(|name| !name.is_empty()).or_else(program).unwrap_or_default()
    })
}
