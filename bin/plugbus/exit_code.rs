//! What a command's exit code says: the one table, printed by `--help` and in `docs/command-line.md`.

use std::fmt::Write;

use plugbus::bus::BusError;
use plugbus::host::CallError;
use plugbus::supervisor::SupervisorError;
use plugbus::wire::Code;

use crate::error::CommandError;

/// How a command ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCode {
    Ok = 0,
    Unexpected = 1,
    Usage = 2,
    Configuration = 3,
    NotFound = 4,
    Unreachable = 5,
    Deadline = 6,
    PluginError = 7,
    Died = 8,
}

/// Every code with its meaning, in order.
const TABLE: [(ExitCode, &str); 9] = [
    (ExitCode::Ok, "ok"),
    (ExitCode::Unexpected, "unexpected"),
    (ExitCode::Usage, "usage"),
    (ExitCode::Configuration, "configuration invalid"),
    (ExitCode::NotFound, "no such plugin or method"),
    (ExitCode::Unreachable, "nobody reachable"),
    (ExitCode::Deadline, "deadline passed"),
    (ExitCode::PluginError, "the plugin answered with an error"),
    (ExitCode::Died, "the plugin died during the call (it may have run)"),
];

/// The table as `--help` shows it.
pub(crate) fn table() -> String {
    let mut text = "Exit codes:".to_owned();
    for (code, meaning) in TABLE {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {}  {meaning}", code as u8);
    }
    text
}

impl ExitCode {
    pub(crate) fn of(error: &CommandError) -> Self {
        match error {
            CommandError::Usage(_) => Self::Usage,
            CommandError::Config(_) => Self::Configuration,
            CommandError::NoSupervisor(_) => Self::Unreachable,
            CommandError::Refused { exit, .. } => *exit,
            CommandError::StillUnderWay { .. } => Self::Deadline,
            CommandError::Call(error) => Self::of_call(error),
            CommandError::Supervisor(SupervisorError::Bus(error)) => Self::of_bus(error),
            _ => Self::Unexpected,
        }
    }

    fn of_call(error: &CallError) -> Self {
        match error {
            CallError::NoBus(_) | CallError::Unreachable { .. } | CallError::Protocol { .. } => Self::Unreachable,
            CallError::Bus(error) => Self::of_bus(error),
            CallError::NoSuchPlugin { .. } | CallError::NoSuchMethod { .. } => Self::NotFound,
            // More has to be typed, or less.
            CallError::Ambiguous { .. } | CallError::TooLarge(_) => Self::Usage,
            CallError::Deadline { .. } => Self::Deadline,
            CallError::Died { .. } => Self::Died,
            CallError::Plugin { fault, .. } => match fault.code {
                Code::NoMethod => Self::NotFound,
                Code::Deadline => Self::Deadline,
                _ => Self::PluginError,
            },
            _ => Self::Unexpected,
        }
    }

    fn of_bus(error: &BusError) -> Self {
        match error {
            BusError::NoBus(_) => Self::Unreachable,
            _ => Self::Unexpected,
        }
    }
}

/// What a shell has for a command that a signal ended.
pub(crate) fn of_signal(name: &str) -> std::process::ExitCode {
    let number = match name {
        "SIGHUP" => 1,
        "SIGTERM" => 15,
        _ => 2,
    };
    std::process::ExitCode::from(128 + number)
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plugbus::wire::{Fault, Protocols};

    use super::*;

    fn code(error: impl Into<CommandError>) -> u8 {
        ExitCode::of(&error.into()) as u8
    }

    #[test]
    fn the_table_counts_from_zero() {
        for (number, (code, _)) in TABLE.into_iter().enumerate() {
            assert_eq!(code as usize, number);
        }
    }

    #[test]
    fn the_documentation_has_the_table() {
        let page = include_str!("../../docs/command-line.md");
        for (code, meaning) in TABLE {
            assert!(page.contains(&format!("| {} | {meaning} |", code as u8)), "{code:?}");
        }
    }

    #[test]
    fn each_error_has_its_code() {
        let plugin = || "text".to_owned();
        let fault = |code| CallError::Plugin { plugin: plugin(), fault: Fault::new(code, "") };
        assert_eq!(code(CommandError::Usage(String::new())), 2);
        assert_eq!(code(CommandError::NoSupervisor("/x".into())), 5);
        assert_eq!(code(CommandError::Refused { message: String::new(), exit: ExitCode::NotFound }), 4);
        assert_eq!(code(CommandError::NotDone("start".into())), 1);
        assert_eq!(code(CommandError::StillUnderWay { what: "stop".into(), timeout: Duration::ZERO }), 6);
        assert_eq!(code(SupervisorError::Bus(BusError::InUse("x".into()))), 1);
        for (error, expected) in [
            (CallError::NoBus("/x".into()), 5),
            (CallError::Bus(BusError::NoBus("/x".into())), 5),
            (CallError::Bus(BusError::BadPath("/x".into())), 1),
            (CallError::NoSuchPlugin { name: plugin(), nearest: vec![] }, 4),
            (CallError::NoSuchMethod { method: plugin(), nearest: vec![] }, 4),
            (CallError::Ambiguous { method: plugin(), plugins: vec![plugin(), plugin()] }, 2),
            (CallError::Unreachable { plugin: plugin(), reason: String::new() }, 5),
            (CallError::Protocol { plugin: plugin(), theirs: Protocols::new(2, None) }, 5),
            (CallError::Deadline { plugin: plugin(), timeout: Duration::ZERO }, 6),
            (CallError::Died { plugin: plugin(), instance: String::new() }, 8),
            (CallError::TooLarge(1), 2),
            (fault(Code::Failed), 7),
            (fault(Code::BadParams), 7),
            (fault(Code::NoMethod), 4),
            (fault(Code::Deadline), 6),
        ] {
            let words = error.to_string();
            assert_eq!(code(error), expected, "{words}");
        }
    }
}
