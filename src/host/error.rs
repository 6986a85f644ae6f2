//! Why a call has no result: a variant is what the caller can do about it.

use std::path::PathBuf;
use std::time::Duration;

use crate::bus::BusError;
use crate::wire::{CodecError, Fault, Protocols};

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Nobody is on the bus: start a supervisor, or look at another bus.
    #[error("nobody is on the bus at {}: start it with `plugbus supervise`, or name another with --bus", .0.display())]
    NoBus(PathBuf),
    /// The bus directory cannot be used.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// No plugin of that name is there or is being restarted.
    #[error("there is no plugin {name:?}{}", did_you_mean(nearest))]
    NoSuchPlugin {
        /// The name that was asked for.
        name: String,
        /// Names that are there and look alike.
        nearest: Vec<String>,
    },
    /// No plugin has a method of that name.
    #[error("there is no method {method:?}{}", did_you_mean(nearest))]
    NoSuchMethod {
        /// The name that was asked for.
        method: String,
        /// Names that are there and look alike.
        nearest: Vec<String>,
    },
    /// Several plugins have the method: name one of them.
    #[error("{} all have a method {method:?}: call {}.{method}, for instance", plugins.join(", "), plugins[0])]
    Ambiguous {
        /// The method.
        method: String,
        /// The plugins that have it.
        plugins: Vec<String>,
    },
    /// The plugin is known and cannot be reached; the method did not run, the call may be repeated.
    #[error("{plugin} cannot be reached: {reason}")]
    Unreachable {
        /// The plugin, or the method where no plugin was named.
        plugin: String,
        /// Why, in words.
        reason: String,
    },
    /// No answer in time; the method may have run.
    #[error("{plugin} did not answer within {timeout:?}; the method may have run")]
    Deadline {
        /// The plugin.
        plugin: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The plugin died during the call; the method may have run.
    #[error("{plugin} (instance {instance}) died during the call; the method may have run")]
    Died {
        /// The plugin.
        plugin: String,
        /// The instance.
        instance: String,
    },
    /// The plugin answered with an error.
    #[error("{plugin} answered {fault}")]
    Plugin {
        /// The plugin.
        plugin: String,
        /// Its error.
        fault: Fault,
    },
    /// The method takes or gives its items one by one: `stream` or `open` it.
    #[error("a method of {plugin} takes or gives its items one by one, and was called as if it did not")]
    Streams {
        /// The plugin.
        plugin: String,
    },
    /// The parameters are larger than a message may be; nothing was sent.
    #[error("the parameters make a message of {0} bytes, it may have {max}", max = crate::wire::MAX_MESSAGE)]
    TooLarge(usize),
    /// The call that this one is nested in was cancelled; the method may have run.
    #[error("the call was cancelled, together with the one it is nested in; the method may have run")]
    Cancelled,
    /// The call is nested in too many others; nothing was sent.
    #[error("the call is nested in more than {max} others: do they call each other without end?",
        max = crate::wire::MAX_CALL_DEPTH)]
    TooDeep,
    /// The parameters do not serialise; nothing was sent.
    #[error("the parameters do not serialise: {0}")]
    Params(#[source] CodecError),
    /// The plugin speaks other versions of the protocol; the method did not run, unless it was the reply that said so.
    #[error("{plugin} speaks {theirs}, this program {own}: upgrade {older}", own = Protocols::OWN, older = older(plugin, *theirs))]
    Protocol {
        /// The plugin.
        plugin: String,
        /// What it speaks.
        theirs: Protocols,
    },
    /// The plugin's reply is not of the protocol, or its result not of the type that was asked for.
    #[error("the reply of {plugin} cannot be read: {error}")]
    Reply {
        /// The plugin.
        plugin: String,
        /// What is wrong with it.
        #[source]
        error: CodecError,
    },
}

fn older(plugin: &str, theirs: Protocols) -> &str {
    if theirs.is_newer_than(Protocols::OWN) { "this program" } else { plugin }
}

impl CallError {
    /// Whether the method may have run all the same; where not, the call may be made again without harm.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Deadline { .. } | Self::Died { .. } | Self::Cancelled | Self::Reply { .. } => true,
            Self::Plugin { fault, .. } => !fault.code.not_started(),
            _ => false,
        }
    }
}

fn did_you_mean(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; did you mean {}?", names.join(", ")),
    }
}
