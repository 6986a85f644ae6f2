//! The bytes of an answer, in whatever memory they are: large ones are sent from there.

use std::ops::Deref;
use std::sync::Arc;

/// An answer, or the last part of one.
#[derive(Debug)]
pub enum Outgoing<'a> {
    /// Bytes that are somebody else's; what cannot be sent at once is copied.
    Borrowed(&'a [u8]),
    /// Bytes that can be kept until they are sent.
    Owned(Vec<u8>),
    /// A text that others hold as well.
    Shared(Arc<str>),
}

impl Outgoing<'_> {
    /// The same, to be kept.
    #[cfg(target_os = "linux")]
    pub(super) fn into_kept(self) -> Outgoing<'static> {
        match self {
            Self::Borrowed(bytes) => Outgoing::Owned(bytes.to_vec()),
            Self::Owned(bytes) => Outgoing::Owned(bytes),
            Self::Shared(text) => Outgoing::Shared(text),
        }
    }
}

impl Deref for Outgoing<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
            Self::Shared(text) => text.as_bytes(),
        }
    }
}

impl Default for Outgoing<'_> {
    fn default() -> Self {
        Self::Borrowed(&[])
    }
}

impl<'a> From<&'a [u8]> for Outgoing<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Borrowed(bytes)
    }
}

impl From<Vec<u8>> for Outgoing<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Owned(bytes)
    }
}
