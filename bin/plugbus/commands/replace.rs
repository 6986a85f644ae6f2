//! The supervisor becomes its own program anew, as the file is now: an upgrade that no plugin notices.
//!
//! The process stays the same, and with it its pid, its children, its terminal. Signals that come in between are
//! kept back until the new program listens to them.

use std::ffi::{CString, OsString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::{env, io, ptr};

use plugbus::supervisor::{raise_file_limit, restore_file_limit};
use rustix::fs::{Access, access};

/// The signals that have a meaning for the supervisor; unheard, each of them would end the process.
const HEARD: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR2];

/// The program with its arguments, as it was started.
#[derive(Debug)]
pub(super) struct Successor {
    program: OsString,
    arguments: Vec<OsString>,
}

impl Successor {
    /// This program, by the name it was started by: whoever replaced the file means the new one.
    pub(super) fn of_this() -> Self {
        let mut words = env::args_os();
        let program = words.next().unwrap_or_else(|| "plugbus".into());
        Self { program, arguments: words.collect() }
    }

    /// The file that would be executed.
    ///
    /// # Errors
    /// Where there is none, in words.
    pub(super) fn look(&self) -> Result<PathBuf, String> {
        let name = Path::new(&self.program);
        let found = match name.components().count() {
            1 if !self.program.as_encoded_bytes().contains(&b'/') => {
                let places = env::var_os("PATH").unwrap_or_default();
                env::split_paths(&places)
                    .map(|place| place.join(name))
                    .find(|path| access(path, Access::EXEC_OK).is_ok())
            }
            _ => access(name, Access::EXEC_OK).is_ok().then(|| name.to_owned()),
        };
        found.ok_or_else(|| format!("{} cannot be executed", name.display()))
    }

    /// Becomes the program; returns where that fails, with signals heard again.
    ///
    /// One that was told to `end` meanwhile ends as its own first deed.
    pub(super) fn execute(&self, end: bool) -> io::Error {
        mask(libc::SIG_BLOCK);
        if end {
            // To this thread alone, which keeps it; any other would take it and drop it.
            // SAFETY: a system call with a number.
            #[expect(unsafe_code, reason = "std cannot send a signal")]
            unsafe {
                libc::raise(libc::SIGTERM);
            }
        }
        // What was raised for this program is nothing that the next one's plugins should inherit.
        restore_file_limit();
        let error = self.become_it();
        raise_file_limit();
        hear_signals();
        error
    }

    fn become_it(&self) -> io::Error {
        let found = self.look().map_err(|problem| io::Error::new(io::ErrorKind::NotFound, problem));
        let words = [self.program.clone()].into_iter().chain(self.arguments.iter().cloned());
        let words: Result<Vec<_>, _> = words.map(|word| CString::new(word.into_vec())).collect();
        let (path, words) = match (found.and_then(|path| Ok(CString::new(path.into_os_string().into_vec())?)), words)
        {
            (Ok(path), Ok(words)) => (path, words),
            (Err(error), _) => return error,
            (_, Err(error)) => return error.into(),
        };
        let pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        // SAFETY: a text and a list of texts that end as the system wants it, and that outlive the call.
        #[expect(
            unsafe_code,
            reason = "std runs what is no program as a shell script, and would so lose the supervisor"
        )]
        unsafe {
            libc::execv(path.as_ptr(), pointers.as_ptr());
        }
        io::Error::last_os_error()
    }
}

/// Lets this thread hear the signals that were kept back for it.
pub(super) fn hear_signals() {
    mask(libc::SIG_UNBLOCK);
}

fn mask(how: libc::c_int) {
    // SAFETY: a set of signals is plain memory that the first call fills; null says that the old one is not wanted.
    #[expect(unsafe_code, reason = "std has nothing to keep signals back with")]
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        for signal in HEARD {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(how, set.as_ptr(), ptr::null_mut());
    }
}
