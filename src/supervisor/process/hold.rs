//! Keeps a file as it is while it is looked at and until it is executed.

use std::fs::File;
use std::io;

/// Keeps everybody from writing to an open file until it is closed, where the system has a way to do so.
///
/// By a read lease: it is only given while nobody has the file open for writing, nor a writable piece of it in memory,
/// and until it is given up, whoever opens it for writing is kept waiting (at most `/proc/sys/fs/lease-break-time`, 45
/// seconds; this takes milliseconds). Where it is not given, because the file is root's and we are not or because the
/// file system has none, nothing is held: then only its owner could write to it.
///
/// # Errors
/// `ETXTBSY` where somebody has it open for writing now, as when it is executed.
#[cfg(target_os = "linux")]
pub(in crate::supervisor) fn hold(file: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;

    use rustix::io::Errno;

    /// As in the kernel's `asm-generic/fcntl.h`; libc has no name for it.
    const F_SETSIG: libc::c_int = 10;
    // What tells of somebody who waits: by default a signal that ends the process. This one is ignored by default.
    let quiet = control(file.as_raw_fd(), F_SETSIG, libc::SIGURG);
    match quiet.and_then(|()| control(file.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK)) {
        Err(error) if error.raw_os_error() == Some(Errno::AGAIN.raw_os_error()) => Err(Errno::TXTBSY.into()),
        _ => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn control(file: std::os::fd::RawFd, what: libc::c_int, how: libc::c_int) -> io::Result<()> {
    // SAFETY: two numbers for an open descriptor; nothing in memory is read or written.
    #[expect(unsafe_code, reason = "neither std nor rustix has leases")]
    let done = unsafe { libc::fcntl(file, what, how) };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Nothing is held here.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "the same shape as where more can go wrong")]
pub(in crate::supervisor) fn hold(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn whoever_wants_to_write_waits_and_whoever_writes_is_noticed() {
        use std::os::unix::fs::OpenOptionsExt;
        // A child that another test starts meanwhile has what is open for writing here, until it executes its program.
        let held_soon = |file: &File| {
            while let Err(error) = hold(file) {
                assert_eq!(error.kind(), io::ErrorKind::ExecutableFileBusy);
                std::thread::yield_now();
            }
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "").unwrap();
        let file = File::open(&path).unwrap();
        held_soon(&file);
        // Without waiting it is refused, and the signal that tells of it does not end this process.
        let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let try_to_write = || OpenOptions::new().write(true).custom_flags(nonblock).open(&path);
        assert_eq!(try_to_write().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(file);
        let writer = try_to_write().unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(hold(&file).unwrap_err().kind(), io::ErrorKind::ExecutableFileBusy);
        drop(writer);
        held_soon(&file);
    }
}
