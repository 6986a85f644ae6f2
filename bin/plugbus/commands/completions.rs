//! `plugbus completions`: a script for a shell.

use std::io::Write;

use clap_complete::Shell;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::complete::VARIABLE;
use crate::error::CommandError;
use crate::output;

pub(super) fn run(shell: Shell) -> Result<(), CommandError> {
    let shell: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Elvish => &Elvish,
        Shell::Fish => &Fish,
        Shell::PowerShell => &Powershell,
        Shell::Zsh => &Zsh,
        other => return Err(CommandError::Usage(format!("there is no script for {other}"))),
    };
    // The script asks whatever `plugbus` is on the PATH, so that it still fits after an upgrade.
    let mut script = Vec::new();
    let written = shell.write_registration(VARIABLE, "plugbus", "plugbus", "plugbus", &mut script);
    written.map_err(CommandError::Output)?;
    output::print_raw(|out| out.write_all(&script))
}
