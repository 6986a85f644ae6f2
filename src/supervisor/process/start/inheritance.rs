//! What a program does not inherit: the supervisor's descriptors.
//!
//! NNG marks a connection close-on-exec only after it has accepted it. A child that was born in between would keep
//! the supervisor's end of somebody's connection open: when the supervisor dies, that somebody hears nothing of it,
//! and never connects to the next one.

use std::os::fd::RawFd;
use std::process::Command;

use rustix::process::{Resource, getrlimit};

/// Of descriptors that have to be marked one by one, no more than so many: 65,536.
const MOST: u64 = 64 * 1024;

/// Has every descriptor beyond the streams close when this process executes its program; calls only the system.
pub(super) fn keep_descriptors() {
    // SAFETY: changes flags in the kernel's table of descriptors and touches no memory.
    #[expect(unsafe_code, reason = "rustix has no close_range")]
    let marked = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    // Linux before 5.11.
    if marked != 0 {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(MOST).min(MOST);
        (3..RawFd::try_from(limit).unwrap_or(RawFd::MAX)).for_each(mark);
    }
}

fn mark(descriptor: RawFd) {
    // SAFETY: changes a flag; a number that is no descriptor is refused.
    #[expect(unsafe_code, reason = "the numbers are nobody's, so there is no owner to borrow from")]
    unsafe {
        libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
    }
}

/// The same for a program that std starts.
pub(in crate::supervisor) fn inherits_nothing(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;
    // SAFETY: what runs in the child calls only the system.
    #[expect(unsafe_code, reason = "std asks for it, as the child may call nothing but the system")]
    unsafe {
        command.pre_exec(|| {
            keep_descriptors();
            Ok(())
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::fd::{AsRawFd, OwnedFd};

    use rustix::io::FdFlags;

    use super::*;

    /// A descriptor as NNG has it for a moment.
    pub(in crate::supervisor::process::start) fn unmarked() -> OwnedFd {
        let descriptor = std::fs::File::open("/dev/null").unwrap().into();
        rustix::io::fcntl_setfd(&descriptor, FdFlags::empty()).unwrap();
        descriptor
    }

    #[test]
    fn a_program_that_std_starts_inherits_nothing() {
        let descriptor = unmarked();
        let looks = format!("test ! -e /proc/self/fd/{}", descriptor.as_raw_fd());
        let status = |change: fn(&mut Command) -> &mut Command| {
            change(Command::new("sh").args(["-c", &looks])).status().unwrap().code()
        };
        assert_eq!((status(|command| command), status(inherits_nothing)), (Some(1), Some(0)));
    }

    #[test]
    fn a_number_without_a_descriptor_is_passed_over() {
        let descriptor = unmarked();
        mark(descriptor.as_raw_fd());
        mark(RawFd::MAX);
        assert_eq!(rustix::io::fcntl_getfd(&descriptor).unwrap(), FdFlags::CLOEXEC);
    }
}
