//! The bytes of a message that was received.

use std::fmt;
use std::ops::Deref;
#[cfg(feature = "host")]
use std::ops::Range;

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

impl Body {
    /// That part of it, in the memory of the whole where that is not much larger.
    #[cfg(feature = "host")]
    pub(crate) fn into_part(mut self, part: Range<usize>) -> Vec<u8> {
        #[cfg(target_os = "linux")]
        if let Bytes::Direct { message, start } = &mut self.0
            && message.capacity() / 2 <= part.len()
        {
            let mut message = std::mem::take(message);
            message.truncate(*start + part.end);
            message.drain(..*start + part.start);
            return message;
        }
        self.get(part).unwrap_or_default().to_vec()
    }
}

#[cfg(target_os = "linux")]
impl Body {
    /// What follows the header of a whole message.
    pub(crate) fn after(message: Vec<u8>, start: usize) -> Self {
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

#[cfg(all(test, target_os = "linux", feature = "host"))]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_most_of_it_stays_where_it_is() {
        for (room, stays) in [(40, true), (60, false)] {
            let mut message = Vec::with_capacity(room);
            message.extend_from_slice(b"headbefore|twenty-six of a message|");
            let at = message.as_ptr();
            let part = Body::after(message, 4).into_part(7..30);
            assert_eq!(part, b"twenty-six of a message");
            assert_eq!(part.as_ptr() == at, stays, "{room}");
        }
    }
}
