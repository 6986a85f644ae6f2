//! The exit of a process that is not our child, from its pidfd.

use std::os::fd::BorrowedFd;

use rustix::ioctl::{self, Updater, opcode};

use crate::supervisor::unit::ExitState;

/// `struct pidfd_info` of Linux 6.13, as far as its first version goes; later ones take it as it is.
#[repr(C)]
#[derive(Debug, Default)]
struct Info {
    mask: u64,
    cgroup: u64,
    /// Process ids, then real, effective, saved and file system users and groups.
    ids: [u32; 11],
    exit_code: i32,
}

/// Ask for the exit, and: it is there. Linux 6.15.
const EXIT: u64 = 1 << 3;

/// `PIDFD_GET_INFO`: `_IOWR(0xFF, 11, struct pidfd_info)`.
const GET_INFO: ioctl::Opcode = opcode::read_write::<Info>(0xFF, 11);

/// How a process exited that its parent has reaped meanwhile.
///
/// `None` before that, and for ever on a kernel that does not tell.
pub(super) fn exit_of(pidfd: BorrowedFd<'_>) -> Option<ExitState> {
    let mut info = Info { mask: EXIT, ..Info::default() };
    // SAFETY: the number says that the kernel reads and writes one `Info`, and that is what is passed: plain
    // integers in C's layout, at the size of the structure's first version. A kernel without it says ENOTTY.
    #[expect(unsafe_code, reason = "no library has this ioctl, and nothing else tells the exit of another's child")]
    let asked = unsafe { ioctl::ioctl(pidfd, Updater::<GET_INFO, Info>::new(&mut info)) };
    (asked.is_ok() && info.mask & EXIT != 0).then(|| exit_state(info.exit_code))
}

/// What `wait` has always called a status: the signal in the low seven bits, above them the code.
pub(super) fn exit_state(status: i32) -> ExitState {
    match status & 0x7f {
        0 => ExitState::Code((status >> 8) & 0xff),
        signal => ExitState::Signal(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_the_kernels() {
        assert_eq!((size_of::<Info>(), std::mem::offset_of!(Info, exit_code)), (64, 60));
        assert_eq!(exit_state(42 << 8), ExitState::Code(42));
        assert_eq!(exit_state(0), ExitState::Code(0));
        // With the bit of a core dump.
        assert_eq!(exit_state(11 | 0x80), ExitState::Signal(11));
    }
}
