//! How a process ended.

use std::collections::BTreeSet;
use std::fmt;

/// What the operating system says of a process that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum ExitState {
    /// It exited by itself with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// Somebody else collected its exit: all that is known is that it is gone.
    Unknown,
}

impl ExitState {
    /// Whether the process itself says that all went well: by an exit code, never by a signal.
    pub(in crate::supervisor) fn is_success(self, codes: &BTreeSet<u8>) -> bool {
        matches!(self, Self::Code(code) if codes.iter().any(|success| i32::from(*success) == code))
    }

    /// Whether a signal ended it that a process does not bring upon itself.
    pub(in crate::supervisor) fn is_from_outside(self) -> bool {
        use rustix::process::Signal;
        matches!(self, Self::Signal(number) if [Signal::KILL, Signal::TERM].iter().any(|signal| signal.as_raw() == number))
    }
}

impl fmt::Display for ExitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(number) => match signal_name(*number) {
                Some(name) => write!(f, "killed by {name}"),
                None => write!(f, "killed by signal {number}"),
            },
            Self::Unknown => f.write_str("exited, its code is unknown"),
        }
    }
}

/// The names people know; the numbers of the rest differ between systems.
fn signal_name(number: i32) -> Option<&'static str> {
    use rustix::process::Signal;
    let names = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    names.into_iter().find(|(signal, _)| signal.as_raw() == number).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_words() {
        for (exit, words) in [
            (ExitState::Code(3), "exited with code 3"),
            (ExitState::Signal(9), "killed by SIGKILL"),
            (ExitState::Signal(63), "killed by signal 63"),
            (ExitState::Unknown, "exited, its code is unknown"),
        ] {
            assert_eq!(exit.to_string(), words);
            assert!(!exit.is_success(&BTreeSet::from([0, 9, 63])));
        }
        assert!(ExitState::Code(0).is_success(&BTreeSet::from([0])));
        assert!(!ExitState::Code(0).is_success(&BTreeSet::from([3])));
        assert!(!ExitState::Code(259).is_success(&BTreeSet::from([3])));
    }
}
