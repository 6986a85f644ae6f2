//! `plugbus completions`: a script for a shell.

use std::io::Write;

use clap::CommandFactory;

use crate::args::Args;
use crate::error::CommandError;
use crate::output;

pub(super) fn run(shell: clap_complete::Shell) -> Result<(), CommandError> {
    // Into memory first: clap_complete panics where a write fails.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "plugbus", &mut script);
    output::print_raw(|out| out.write_all(&script))
}
