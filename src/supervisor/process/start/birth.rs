//! The birth of a child: in its cgroup where the kernel can (5.7), else where its parent is.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use rustix::io::Errno;
use rustix::process::Pid;

use super::child::Steps;
use crate::supervisor::process::Entry;

/// What a call that returns twice says.
#[derive(Debug)]
pub(super) enum Born {
    /// This is the child, and whoever reads this has nothing to do but its steps.
    Here,
    Child(Pid),
}

/// `struct clone_args` of Linux 5.7.
#[repr(C)]
#[derive(Debug, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_INTO_CGROUP`.
const INTO_CGROUP: u64 = 1 << 33;

/// Makes a child, in its cgroup if there is an entry to one; one that could not be born there is to join it.
///
/// No signal is delivered to the child before it has asked for that: a handler of ours that ran there would tell us,
/// through what both share, of a signal that was never sent to us.
///
/// # Errors
/// As `fork`.
pub(super) fn give_birth(entry: Option<&Entry>, steps: &mut Steps) -> io::Result<Born> {
    let held = HeldSignals::hold();
    let born = entry.map_or(Err(Errno::NOSYS.into()), born_in);
    let born = match born {
        // There is no room for a child anywhere; another way would fail as well, or go round a limit.
        Err(error) if !is_no_room(&error) => {
            steps.join = entry.and_then(|entry| entry.procs.try_clone().ok());
            forked()
        }
        born => born,
    };
    match born {
        // Its signals stay held until its steps are done.
        Ok(Born::Here) => std::mem::forget(held),
        _ => drop(held),
    }
    born
}

fn is_no_room(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(number, Some(Errno::AGAIN | Errno::NOMEM))
}

/// A child in the cgroup of that entry. Refused by older kernels, by some containers, and for a group that may not
/// have members.
fn born_in(entry: &Entry) -> io::Result<Born> {
    let cgroup = entry.directory.as_raw_fd().try_into().unwrap_or_default();
    let exit_signal = libc::SIGCHLD.try_into().unwrap_or_default();
    let arguments = CloneArgs { flags: INTO_CGROUP, exit_signal, cgroup, ..CloneArgs::default() };
    // SAFETY: the kernel reads one structure of the size that is passed. Without shared memory and with no stack
    // named, this is a fork: both return from here, each on its own copy of this stack. The C library does not know
    // of the child, which is why that calls nothing but the system.
    #[expect(unsafe_code, reason = "no library has a fork into a cgroup")]
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>()) };
    of_return(pid)
}

fn forked() -> io::Result<Born> {
    // SAFETY: the child calls nothing but the system, because other threads are not there to give back their locks.
    #[expect(unsafe_code, reason = "std has no fork without what it does between it and exec")]
    let pid = unsafe { libc::fork() };
    of_return(pid.into())
}

fn of_return(pid: i64) -> io::Result<Born> {
    match pid {
        0 => Ok(Born::Here),
        1.. => {
            i32::try_from(pid).ok().and_then(Pid::from_raw).map(Born::Child).ok_or(io::ErrorKind::InvalidData.into())
        }
        _ => Err(io::Error::last_os_error()),
    }
}

/// This thread's signals, held back until this is dropped.
struct HeldSignals(libc::sigset_t);

impl HeldSignals {
    fn hold() -> Self {
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sets of signals are plain memory, filled by these calls; neither can fail with these arguments.
        #[expect(unsafe_code, reason = "std has nothing for the signal mask")]
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self(before.assume_init())
        }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // SAFETY: the set was filled when it was made; null says that the present one is not asked for.
        #[expect(unsafe_code, reason = "std has nothing for the signal mask")]
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_kernels() {
        // CLONE_ARGS_SIZE_VER2.
        assert_eq!((size_of::<CloneArgs>(), std::mem::offset_of!(CloneArgs, cgroup)), (88, 80));
    }
}
