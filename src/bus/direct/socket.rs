//! Unix sockets: what the operating system does, in the words of this layer.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sockopt,
};

use super::frame::Decoder;
use super::lock;
use crate::bus::counterpart::Counterpart;
use crate::bus::crowd::Crowd;
use crate::bus::{BusError, Endpoint};

/// Connections that wait to be accepted; the system may allow fewer.
///
/// As many as Linux's own limit, `net.core.somaxconn`, since 5.4.
const BACKLOG: i32 = 4096;

/// What a socket takes before its other side reads, half of a large message; the system may allow less.
pub(super) const SEND_BUFFER: usize = 512 * 1024;

/// A blocking read returns after this long without a byte, for its caller to look at the clock.
pub(super) const BLOCKING_READ: Duration = Duration::from_secs(1);

fn unix_socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
}

/// Connects to that counterpart and greets; waits for room in the listener's backlog at most that long.
///
/// The socket itself stays in blocking mode: whoever must not block says so each time.
pub(super) fn connect(
    path: &Path,
    counterpart: &Counterpart,
    greeting: &[u8],
    wait: Duration,
) -> Result<OwnedFd, Errno> {
    let socket = unix_socket()?;
    let address = SocketAddrUnix::new(path)?;
    if wait.is_zero() {
        // A full backlog then is EAGAIN at once.
        rustix::io::ioctl_fionbio(&socket, true)?;
        rustix::net::connect(&socket, &address)?;
        rustix::io::ioctl_fionbio(&socket, false)?;
    } else {
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(wait))?;
        rustix::net::connect(&socket, &address)?;
    }
    let (uid, pid) = credentials(&socket);
    if !counterpart.admits(uid, pid) {
        return Err(Errno::ACCESS);
    }
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(BLOCKING_READ))?;
    sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
    send(&socket, &[io::IoSlice::new(greeting)])?;
    Ok(socket)
}

/// Greets one who has connected, where it may be here and there is room; who it is: its user and its process.
pub(super) fn welcome(
    socket: &OwnedFd,
    counterpart: &Counterpart,
    crowd: &mut Crowd,
    greeting: &[u8],
) -> Option<(Option<u32>, Option<u32>)> {
    let (uid, pid) = credentials(socket);
    if !counterpart.admits(uid, pid) {
        return None;
    }
    if !crowd.enter(pid) {
        counterpart.refused(pid, "too many");
        return None;
    }
    if send(socket, &[io::IoSlice::new(greeting)]) != Ok(greeting.len()) {
        // Gone already.
        crowd.leave(pid);
        return None;
    }
    // With less it goes more slowly, no more.
    let _ = sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER);
    Some((uid, pid))
}

/// The user and the process at the other end, as the kernel knows them.
pub(super) fn credentials(socket: &OwnedFd) -> (Option<u32>, Option<u32>) {
    let credentials = sockopt::socket_peercred(socket).ok();
    let pid = credentials.and_then(|of| of.pid.as_raw_nonzero().get().try_into().ok());
    (credentials.map(|of| of.uid.as_raw()), pid)
}

/// Binds a socket for its owner alone, and listens; takes the place of a file nobody listens at any more.
pub(super) fn listen(path: &Path) -> Result<OwnedFd, Errno> {
    let socket = unix_socket()?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    let address = SocketAddrUnix::new(path)?;
    match rustix::net::bind(&socket, &address) {
        Err(Errno::ADDRINUSE) => {
            if !is_stale(&address)? {
                return Err(Errno::ADDRINUSE);
            }
            rustix::fs::unlink(path)?;
            rustix::net::bind(&socket, &address)?;
        }
        bound => bound?,
    }
    // Nobody can connect before `listen`, so nobody connects while the mode is wider.
    rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(0o600))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn is_stale(address: &SocketAddrUnix) -> Result<bool, Errno> {
    let probe = unix_socket()?;
    rustix::io::ioctl_fionbio(&probe, true)?;
    Ok(rustix::net::connect(&probe, address) == Err(Errno::CONNREFUSED))
}

/// The file of a socket that listens, to be removed once, as long as it is still that one.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Mutex<Option<(u64, u64)>>,
}

impl SocketFile {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.into(), identity: Mutex::new(identity(path)) }
    }

    pub(super) fn remove(&self) {
        // Later, another file may be there with the same numbers.
        let own = lock(&self.identity).take();
        if own.is_some() && identity(&self.path) == own {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    rustix::fs::lstat(path).ok().map(|found| (found.st_dev, found.st_ino))
}

/// Why nobody can listen there.
pub(super) fn refused(endpoint: &Endpoint, error: Errno) -> BusError {
    match error {
        Errno::ADDRINUSE => BusError::InUse(endpoint.to_string()),
        error => BusError::transport("listen at", endpoint, io::Error::from(error)),
    }
}

/// Sends what the socket takes now.
pub(super) fn send(socket: &OwnedFd, parts: &[io::IoSlice<'_>]) -> Result<usize, Errno> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        let sent = match parts {
            // Half the work for the kernel.
            [part] => rustix::net::send(socket, part, flags),
            parts => rustix::net::sendmsg(socket, parts, &mut SendAncillaryBuffer::default(), flags),
        };
        match sent {
            Err(Errno::INTR) => {}
            sent => return sent,
        }
    }
}

/// Whether a read may wait for the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Not at all.
    No,
    /// At most [`BLOCKING_READ`].
    Yes,
}

/// Appends what has arrived, as much as fits; 0 at the end of the connection.
pub(super) fn receive(socket: &OwnedFd, buffer: &mut Vec<u8>, wait: Wait) -> Result<usize, Errno> {
    let flags = if wait == Wait::Yes { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    loop {
        match rustix::net::recv(socket, spare_capacity(buffer), flags) {
            Err(Errno::INTR) => {}
            // Closed with requests of ours unread.
            Err(Errno::CONNRESET) => return Ok(0),
            received => return received.map(|(_, length)| length),
        }
    }
}

/// Reads once for that decoder: straight into a large message that has come in part, else into the buffer. How much, and
/// whether there may be more; what is for the decoder to take is in the buffer.
pub(super) fn receive_for(
    decoder: &mut Decoder,
    socket: &OwnedFd,
    buffer: &mut Vec<u8>,
    wait: Wait,
) -> Result<(usize, bool), Errno> {
    match decoder.room() {
        Some(message) => {
            let received = receive(socket, message, wait);
            buffer.append(&mut decoder.overrun());
            // As much as there was room for, or not: only another read tells.
            received.map(|length| (length, true))
        }
        None => receive(socket, buffer, wait).map(|length| (length, buffer.len() == buffer.capacity())),
    }
}

/// Waits for one of these events, at most that long.
pub(super) fn poll(socket: &OwnedFd, events: PollFlags, wait: Duration) -> Result<PollFlags, Errno> {
    let mut polled = [PollFd::new(socket, events)];
    match rustix::event::poll(&mut polled, Some(&timespec(wait))) {
        Ok(_) => Ok(polled[0].revents()),
        Err(Errno::INTR) => Ok(PollFlags::empty()),
        Err(error) => Err(error),
    }
}

pub(super) fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
