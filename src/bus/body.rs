//! The bytes of a message that was received.

use std::fmt;
use std::ops::Deref;

/// A received message, without the transport's own header.
pub struct Body(nng::Message);

impl Body {
    pub(super) fn new(message: nng::Message) -> Self {
        Self(message)
    }
}

impl Deref for Body {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.len())
    }
}
