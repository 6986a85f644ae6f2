//! `plugbus supervise --detach`: a daemon where no service manager starts one.
//!
//! The command starts itself again, in the background, and waits until that can be called. Whatever goes wrong until
//! then is said where the command was typed: the daemon has the same standard error. Then it takes a log file instead.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::stdio::{dup2_stdin, dup2_stdout};

use crate::error::CommandError;
use crate::log::Log;
use crate::output;

/// What the daemon says on its standard output when it can be called.
const READY: &[u8] = b"ready\n";

/// Starts the daemon, and waits until it can be called.
pub(super) fn start() -> Result<(), CommandError> {
    let failed = |what: &'static str| move |error| CommandError::system(what)(error);
    let own = env::current_exe().map_err(failed("find this program"))?;
    let arguments = env::args_os().skip(1).map(|arg| if arg == "--detach" { "--detached".into() } else { arg });
    let mut child = Command::new(own)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed("start the daemon"))?;
    let mut said = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_end(&mut said).map_err(failed("hear from the daemon"))?;
    }
    if said == READY {
        return output::print(|out| writeln!(out, "supervising, with process {}", child.id()));
    }
    // It has said why on standard error.
    let status = child.wait().map_err(failed("wait for the daemon"))?;
    Err(CommandError::Daemon(status.code().unwrap_or(1)))
}

/// The daemon's side: its pid file, while it runs.
#[derive(Debug)]
pub(super) struct Detached {
    pid_file: Option<PathBuf>,
}

impl Detached {
    /// Leaves the terminal's session, so that it can end without us.
    pub(super) fn begin() {
        // Fails where this leads a session already, which is what is wanted.
        let _ = rustix::process::setsid();
    }

    /// The supervisor can be called: tells whoever started it, and lets go of the terminal.
    ///
    /// # Errors
    /// Where the pid file or the log file cannot be written.
    pub(super) fn ready(log: &Log, log_file: &Path, pid_file: Option<&Path>) -> Result<Self, CommandError> {
        let what = |path: &Path| CommandError::system(format!("write {}", path.display()));
        if let Some(path) = pid_file {
            write_pid(path).map_err(what(path))?;
        }
        let detached = Self { pid_file: pid_file.map(Path::to_owned) };
        log.move_to(log_file).map_err(what(log_file))?;
        let let_go = || -> io::Result<()> {
            io::stdout().write_all(READY)?;
            io::stdout().flush()?;
            let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
            // Whoever waits on the other end learns from its end that this was all.
            dup2_stdout(&null)?;
            dup2_stdin(&null)?;
            Ok(())
        };
        let_go().map_err(CommandError::system("leave the terminal"))?;
        Ok(detached)
    }
}

impl Detached {
    /// The same process goes on with another program, and its pid file stays.
    pub(super) fn stays(detached: Option<Self>) {
        if let Some(mut detached) = detached {
            detached.pid_file = None;
        }
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        // One that another daemon has written meanwhile is not ours to remove.
        let own = std::process::id().to_string();
        if let Some(path) = &self.pid_file
            && fs::read_to_string(path).is_ok_and(|text| text.trim() == own)
        {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_pid(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o644).open(path)?;
    writeln!(file, "{}", std::process::id())
}
