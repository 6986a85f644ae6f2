//! What a child does between its birth and its program, in this order. **All further steps belong here.**
//!
//! It may call nothing but the system: no allocation, no lock, no panic, no log. What a step needs is made ready in
//! [`Steps`] by the parent.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Resource, Rlimit};

use super::confined::Confined;
use super::image::Image;
use super::inheritance::keep_descriptors;

/// All that a child is to do, made ready before its birth.
#[derive(Debug)]
pub(super) struct Steps {
    /// What is to be its input, output and error output; none of them is 0, 1 or 2 yet.
    pub(super) streams: [OwnedFd; 3],
    /// Where it says why it could not go on.
    pub(super) failure: OwnedFd,
    pub(super) cwd: Option<CString>,
    /// How many files it may have open, where the supervisor has changed that for itself.
    pub(super) files: Option<Rlimit>,
    /// What it gives up.
    pub(super) confined: Confined,
    /// Its cgroup's list of members, where it was not born in it.
    pub(super) join: Option<File>,
    pub(super) image: Image,
}

impl Steps {
    /// Becomes the program. Where that fails, the parent is told the system's number, and the child ends.
    pub(super) fn carry_out(&self) -> ! {
        let (error, step) = match self.prepare() {
            Ok(()) => (self.image.execute(), 0),
            Err(failed) => failed,
        };
        let [a, b, c, d] = error.raw_os_error().unwrap_or_default().to_ne_bytes();
        let _ = rustix::io::write(&self.failure, &[a, b, c, d, step]);
        // SAFETY: ends the process at once: nothing that the parent's copy is to do at its end is done here.
        #[expect(unsafe_code, reason = "std's exit runs what was registered for the parent's end")]
        unsafe {
            libc::_exit(127)
        }
    }

    /// # Errors
    /// What the system says, and the code of the step where that is one of [`Confined`]'s.
    fn prepare(&self) -> Result<(), (io::Error, u8)> {
        self.settle().map_err(|error| (error, 0))?;
        keep_descriptors();
        self.confined.carry_out()?;
        // Last: from here on a signal ends it.
        hear_signals();
        Ok(())
    }

    fn settle(&self) -> io::Result<()> {
        // The signals of the supervisor's terminal are not for plugins, and what hangs up there is not theirs.
        rustix::process::setsid()?;
        if let Some(procs) = &self.join {
            // A zero is whoever writes it. Refused, it stays where the supervisor is, which finds out by itself.
            let _ = rustix::io::write(procs, b"0");
        }
        if let Some(limit) = self.files {
            rustix::process::setrlimit(Resource::Nofile, limit)?;
        }
        let [input, output, errors] = &self.streams;
        rustix::stdio::dup2_stdin(input)?;
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(errors)?;
        if let Some(cwd) = &self.cwd {
            rustix::process::chdir(cwd.as_c_str())?;
        }
        Ok(())
    }
}

/// Has the child hear every signal as a program does by default, whatever its parent's parent silenced: a shell does
/// that to what it runs in the background, and SIGQUIT would get no trace of a plugin any more.
fn hear_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: no code of this program's is left to be called; signals that cannot be changed are refused.
        #[expect(unsafe_code, reason = "std has nothing for what a signal does")]
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
    // SAFETY: a set of signals is plain memory, which the first call fills, and for which null says that the old
    // one is not asked for.
    #[expect(unsafe_code, reason = "std hands on the signal mask, and has nothing to change it")]
    unsafe {
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}
