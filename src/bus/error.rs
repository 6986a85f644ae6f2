//! What can go wrong below a message.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::Endpoint;

/// Why an endpoint or a bus directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// A socket path is longer than the operating system takes.
    #[error("the socket path {path} has {length} bytes, the system takes {max}: choose a shorter $PLUGBUS_DIR or name",
        path = path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The longest path that is taken.
        max: usize,
    },
    /// A path that cannot be part of a URL.
    #[error("the path {} is not absolute UTF-8, an endpoint needs that", .0.display())]
    BadPath(PathBuf),
    /// A URL with a scheme that is not spoken here.
    #[error("{0:?} is not an endpoint: it must start with ipc:///")]
    BadUrl(String),
    /// There is no bus directory.
    #[error("no bus at {}: start one with `plugbus supervise`", .0.display())]
    NoBus(PathBuf),
    /// The bus directory, or something in it, is not ours alone.
    #[error("{path} {problem}: {advice}", path = path.display())]
    Insecure {
        /// The directory, or what is in it.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// A second supervisor on one bus.
    #[error("{holder} supervises the bus at {path} already: stop it first, or use another --bus",
        path = path.display())]
    Locked {
        /// The bus directory.
        path: PathBuf,
        /// Who holds it, in words.
        holder: String,
    },
    /// The directory or a file in it could not be read or written.
    #[error("cannot {what} {path}: {source}", path = path.display())]
    Io {
        /// What was tried, in words.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Somebody listens on that endpoint already.
    #[error("somebody listens at {0} already")]
    InUse(String),
    /// NNG refused.
    #[error("cannot {what} {endpoint}: {reason}")]
    Transport {
        /// What was tried, in words.
        what: &'static str,
        /// The endpoint.
        endpoint: String,
        /// NNG's reason.
        reason: String,
    },
    /// The program was linked with an NNG that has known faults.
    #[error("linked with NNG {0}, but only 1.12 is known to work: another dependency brings its own NNG")]
    WrongNng(String),
}

impl BusError {
    /// What an endpoint could not be had for.
    pub(super) fn transport(what: &'static str, endpoint: &Endpoint, reason: impl fmt::Display) -> Self {
        Self::Transport { what, endpoint: endpoint.to_string(), reason: reason.to_string() }
    }

    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { what, path: path.into(), source }
    }
}

/// Why a request has no reply: what the caller may do next differs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Nobody took the request, and nobody will: it may be sent elsewhere.
    #[error("nobody is connected at the endpoint; the request was not sent")]
    NotSent,
    /// No reply in time; the request may have been carried out.
    #[error("no reply in time; the request may have been carried out")]
    TimedOut,
    /// The connection broke after the request was sent; it may have been carried out.
    #[error("the connection broke before the reply; the request may have been carried out")]
    Lost,
    /// The request is larger than a message may be; it was not sent.
    #[error("the request has {0} bytes, a message may have {max}", max = crate::wire::MAX_MESSAGE)]
    TooLarge(usize),
    /// NNG refused for a reason that has nothing to do with the peer.
    #[error("the request could not be sent: {0}")]
    Transport(String),
}
