//! Room for a crowd to wait at a listener.
//!
//! NNG lets 128 connections wait to be accepted. Whoever is refused tries again soon, and until a thread of its NNG has
//! closed the refused socket another one spins on it: a thousand plugins that start at once, or find a new
//! supervisor at once, keep each other, and the one who is to accept them, from ever getting there.

#![expect(unsafe_code, reason = "NNG hands out no descriptor of its listeners")]

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::path::Path;

/// Connections that may wait; Linux's own limit, `net.core.somaxconn`, is as much since 5.4.
const WAITING: i32 = 4096;

/// A listening socket, in the column of flags of `/proc/net/unix`: `__SO_ACCEPTCON` of Linux's `net.h`.
const LISTENS: &str = "00010000";

/// Lets more connections wait at the listener of this process that is bound to a path.
///
/// # Errors
/// The system's; nothing has changed then, and the listener works as before.
pub(super) fn deepen(path: &Path) -> io::Result<()> {
    let sockets = fs::read_to_string("/proc/net/unix")?;
    let inode = inode_of(&sockets, path).ok_or(io::ErrorKind::NotFound)?;
    let own = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        let is_it = fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == own.as_str());
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        if is_it {
            // SAFETY: the caller holds the socket that this descriptor belongs to; to listen anew only sets a number.
            let listener = unsafe { BorrowedFd::borrow_raw(number) };
            return Ok(rustix::net::listen(listener, WAITING)?);
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// The inode of the socket that listens at a path, by the table of the system.
fn inode_of<'a>(sockets: &'a str, path: &Path) -> Option<&'a str> {
    sockets.lines().find_map(|line| {
        // Number, references, protocol, flags, type, state, inode, and a path, which may have spaces in it.
        let mut rest = line;
        let mut column = || {
            let (column, after) = rest.trim_start().split_once(' ')?;
            rest = after;
            Some(column)
        };
        let (flags, inode) =
            (column().and(column()).and(column()).and(column())?, column().and(column()).and(column())?);
        (flags == LISTENS && Path::new(rest) == path).then_some(inode)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

    use super::*;

    #[test]
    fn the_one_that_listens_there_is_found() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00000000 0002 01   100 /run/bus/survey.ipc\n\
            0000000000000000: 00000002 00000000 00010000 0001 01   101 /run/bus/other.ipc\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 34567 /run/a bus/survey.ipc\n\
            0000000000000000: 00000003 00000000 00000000 0001 03   103\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 34568 /run/bus/survey.ipc\n";
        assert_eq!(inode_of(table, Path::new("/run/bus/survey.ipc")), Some("34568"));
        assert_eq!(inode_of(table, Path::new("/run/a bus/survey.ipc")), Some("34567"));
        assert_eq!(inode_of(table, Path::new("/run/nobody")), None);
    }

    #[test]
    fn a_thousand_may_wait() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("l");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 2).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        let knock = || {
            let socket = socket_with(
                AddressFamily::UNIX,
                SocketType::STREAM,
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
                None,
            )
            .unwrap();
            connect(&socket, &address).map(|()| UnixStream::from(socket))
        };
        let before: Vec<_> = (0..1000).map_while(|_| knock().ok()).collect();
        assert!(before.len() < 10, "{}", before.len());
        deepen(&path).unwrap();
        let after: Vec<_> = (0..1000).map_while(|_| knock().ok()).collect();
        assert_eq!(after.len(), 1000);
    }
}
