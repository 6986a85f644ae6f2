//! The connection between a supervisor and its sink: messages, some with descriptors.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::message::Carries;

/// The longest message, in bytes: more than twenty clipped lines and shown output can be.
const MAX_MESSAGE: usize = 2 * 1024 * 1024;

/// What is read at once, in bytes.
const READ: usize = 64 * 1024;

/// Descriptors that come with one message: the two pipes of a process.
const MAX_FDS: usize = 2;

/// Something with a descriptor that stays open until it has been sent.
pub(super) type Shared = Arc<dyn AsFd + Send + Sync>;

/// One side of the connection. Nothing is ever waited for but the next message: what is posted goes out meanwhile.
pub(super) struct Link {
    stream: UnixStream,
    inbound: Vec<u8>,
    fds: VecDeque<OwnedFd>,
    outbound: VecDeque<Outgoing>,
    /// Bytes in `outbound`.
    waiting: usize,
    ended: bool,
}

struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    fds: Vec<Shared>,
}

impl Link {
    /// Takes a connection whose peer is the same user.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] where it is another one.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        let (peer, own) = (stream.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
        if peer != own && peer != 0 {
            let problem = format!("the other side belongs to user {peer}, not to {own}");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        let (inbound, fds, outbound) = (Vec::new(), VecDeque::new(), VecDeque::new());
        Ok(Self { stream, inbound, fds, outbound, waiting: 0, ended: false })
    }

    /// Puts a message in line.
    pub(super) fn post(&mut self, message: &impl Serialize, fds: Vec<Shared>) {
        // Strings and numbers: nothing in it can fail to serialise.
        let json = serde_json::to_vec(message).unwrap_or_default();
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes();
        let bytes = [&length, json.as_slice()].concat();
        self.waiting += bytes.len();
        self.outbound.push_back(Outgoing { bytes, sent: 0, fds });
    }

    /// Bytes that wait to be sent.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The next message with its descriptors; `None` when the other side has gone.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(super) async fn next<M: DeserializeOwned + Carries>(&mut self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        loop {
            if let Some(message) = self.parse()? {
                return Ok(Some(message));
            }
            if self.ended {
                return Ok(None);
            }
            let wanted =
                if self.outbound.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
            let ready = self.stream.ready(wanted).await?;
            if ready.is_writable() {
                self.send_some()?;
            }
            if ready.is_readable() {
                self.receive_some()?;
            }
        }
    }

    /// Sends what is in line, and then that nothing more comes.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        while !self.outbound.is_empty() {
            self.stream.writable().await?;
            self.send_some()?;
        }
        rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Write)?;
        Ok(())
    }

    fn send_some(&mut self) -> io::Result<()> {
        while let Some(next) = self.outbound.front_mut() {
            let stream = &self.stream;
            match stream.try_io(Interest::WRITABLE, || next.send(stream)) {
                Ok(sent) => {
                    self.waiting -= sent;
                    next.sent += sent;
                    // They went with the first byte.
                    next.fds.clear();
                    if next.sent == next.bytes.len() {
                        self.outbound.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive_some(&mut self) -> io::Result<()> {
        let (stream, inbound, fds) = (&self.stream, &mut self.inbound, &mut self.fds);
        match stream.try_io(Interest::READABLE, || receive(stream, inbound, fds)) {
            Ok(0) => self.ended = true,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.ended = true,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        Ok(())
    }

    fn parse<M: DeserializeOwned + Carries>(&mut self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        let Some((length, rest)) = self.inbound.split_first_chunk() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_MESSAGE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
        }
        let Some(json) = rest.get(..length) else { return Ok(None) };
        let message: M = serde_json::from_slice(json)?;
        let count = message.descriptors();
        if count > self.fds.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message without its descriptors"));
        }
        self.inbound.drain(..4 + length);
        Ok(Some((message, self.fds.drain(..count).collect())))
    }
}

impl Outgoing {
    fn send(&self, stream: &UnixStream) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = self.fds.iter().map(|fd| fd.as_fd()).collect();
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
        }
        let bytes = [IoSlice::new(&self.bytes[self.sent..])];
        Ok(rustix::net::sendmsg(stream, &bytes, &mut control, SendFlags::NOSIGNAL)?)
    }
}

/// Nobody else may inherit what comes.
#[cfg(target_os = "linux")]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::empty();

fn receive(stream: &UnixStream, inbound: &mut Vec<u8>, fds: &mut VecDeque<OwnedFd>) -> io::Result<usize> {
    let mut buffer = [0; READ];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let received = rustix::net::recvmsg(stream, &mut parts, &mut control, CLOSE_ON_EXEC)?.bytes;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            for fd in rights {
                // Where the kernel has no flag for it.
                #[cfg(not(target_os = "linux"))]
                rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
                fds.push_back(fd);
            }
        }
    }
    inbound.extend_from_slice(&buffer[..received]);
    Ok(received)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::super::super::chunk::Stream;
    use super::super::message::Wish;
    use super::*;

    fn links() -> (Link, Link) {
        let (one, other) = UnixStream::pair().unwrap();
        (Link::new(one).unwrap(), Link::new(other).unwrap())
    }

    fn take(nth: u64) -> Wish {
        let streams = vec![Stream::Out, Stream::Err];
        Wish::Take { name: "a".into(), instance: nth.to_string(), streams, again: false }
    }

    #[tokio::test]
    async fn messages_come_whole_and_in_order_each_with_its_own_descriptors() {
        let (mut one, mut other) = links();
        let sending = async move {
            for nth in 0..300 {
                let (reader, mut writer) = std::io::pipe().unwrap();
                write!(writer, "{nth}").unwrap();
                let fd: Shared = Arc::new(OwnedFd::from(reader));
                one.post(&Wish::Ping { number: nth }, vec![]);
                one.post(&take(nth), vec![Arc::clone(&fd), fd]);
            }
            one.finish().await.unwrap();
            one
        };
        let receiving = async {
            for nth in 0..300 {
                let (ping, fds) = other.next::<Wish>().await.unwrap().unwrap();
                assert_eq!((ping, fds.len()), (Wish::Ping { number: nth }, 0));
                let (message, fds) = other.next::<Wish>().await.unwrap().unwrap();
                assert_eq!((message, fds.len()), (take(nth), 2));
                let mut text = String::new();
                std::io::PipeReader::from(fds.into_iter().next().unwrap()).read_to_string(&mut text).unwrap();
                assert_eq!(text, nth.to_string());
            }
            assert!(other.next::<Wish>().await.unwrap().is_none());
        };
        tokio::join!(sending, receiving);
    }

    #[tokio::test]
    async fn both_may_send_more_than_the_system_holds_before_either_listens() {
        let (mut one, mut other) = links();
        let long = Wish::Release { instance: "x".repeat(1_000_000) };
        one.post(&long, vec![]);
        other.post(&long, vec![]);
        let (a, b) = tokio::join!(one.next::<Wish>(), async {
            let got = other.next::<Wish>().await;
            other.finish().await.unwrap();
            got
        });
        assert_eq!((a.unwrap().unwrap().0, b.unwrap().unwrap().0), (long.clone(), long));
    }

    #[tokio::test]
    async fn invariant_10_garbage_is_an_error_and_nothing_worse() {
        for garbage in [&b"\xff\xff\xff\xff"[..], b"\x02\0\0\0{}", b"\x04\0\0\0null", &[0; 4]] {
            let (one, mut other) = links();
            one.stream.try_write(garbage).unwrap();
            assert!(other.next::<Wish>().await.is_err(), "{garbage:?}");
        }
        let (mut one, mut other) = links();
        one.post(&take(0), vec![]);
        one.finish().await.unwrap();
        assert!(other.next::<Wish>().await.is_err());
    }
}
