//! The bytes of a message that was received.

use std::fmt;
use std::ops::Deref;

#[cfg(target_os = "linux")]
use super::buffers;

/// A received message, without the transport's own header.
pub struct Body(Bytes);

enum Bytes {
    Nng(nng::Message),
    /// With the header before `start`.
    #[cfg(target_os = "linux")]
    Direct {
        message: Vec<u8>,
        start: usize,
    },
}

impl Body {
    pub(super) fn nng(message: nng::Message) -> Self {
        Self(Bytes::Nng(message))
    }
}

#[cfg(target_os = "linux")]
impl Body {
    /// What follows the header of a whole message.
    pub(super) fn after(message: Vec<u8>, start: usize) -> Self {
        Self(Bytes::Direct { message, start })
    }

    /// The header it was made with.
    pub(super) fn header(&self) -> &[u8] {
        match &self.0 {
            Bytes::Nng(_) => &[],
            Bytes::Direct { message, start } => message.get(..*start).unwrap_or_default(),
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Body {
    fn drop(&mut self) {
        if let Bytes::Direct { message, .. } = &mut self.0 {
            buffers::give(std::mem::take(message));
        }
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Nng(message) => message.as_slice(),
            #[cfg(target_os = "linux")]
            Bytes::Direct { message, start } => message.get(*start..).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}
