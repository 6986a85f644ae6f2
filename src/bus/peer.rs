//! Who is at the other end of a connection.

/// The process at the other end of a connection, as the kernel knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Tells connections of one socket apart.
    pub connection: u32,
    /// Its process id; `None` where the transport does not know.
    pub pid: Option<u32>,
    /// Its user id; `None` where the transport does not know.
    pub uid: Option<u32>,
}

/// Somebody connected, or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerEvent {
    /// Connected and past the greeting.
    Joined(Peer),
    /// The connection is gone.
    Left(Peer),
}
