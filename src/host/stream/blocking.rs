//! The blocking twins.

use std::future::poll_fn;
use std::task::Poll;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Piece;
use crate::bus::block_on;
use crate::host::CallError;

/// The items of a method that gives them one by one; see [`host::Reader`](crate::host::Reader).
#[derive(Debug)]
pub struct Reader<T>(pub(in crate::host) super::Reader<T>);

impl<T: DeserializeOwned> Iterator for Reader<T> {
    type Item = Result<T, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        block_on(self.0.next())
    }
}

impl<T: DeserializeOwned> Reader<T> {
    /// The next item, or how far the method has got; `None` when there is no more.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn next_piece(&mut self) -> Option<Result<Piece<T>, CallError>> {
        block_on(self.0.next_piece())
    }

    /// The one item of a method that takes many and gives one.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn only(self) -> Result<T, CallError> {
        block_on(self.0.only())
    }
}

impl<T> Reader<T> {
    /// As [`next_piece`](Self::next_piece), but leaves an item as one MessagePack value.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn next_raw(&mut self) -> Option<Result<Piece<Vec<u8>>, CallError>> {
        block_on(poll_fn(|context| match self.0.poll_raw(context) {
            Poll::Ready(piece) => Poll::Ready(piece.map(|piece| piece.map(Piece::into_owned))),
            Poll::Pending => Poll::Pending,
        }))
    }
}

/// Brings the items of a method that takes them one by one; see [`host::Writer`](crate::host::Writer).
#[derive(Debug)]
pub struct Writer<T>(pub(in crate::host) super::Writer<T>);

impl<T: Serialize> Writer<T> {
    /// Brings one item, once there is room for it; whether more are wanted.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn send(&mut self, item: &T) -> Result<bool, CallError> {
        block_on(self.0.send(item))
    }

    /// Brings several items at once, which is faster; whether more are wanted.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn send_all<'a>(&mut self, items: impl IntoIterator<Item = &'a T>) -> Result<bool, CallError>
    where
        T: 'a,
    {
        block_on(self.0.send_all(items))
    }

    /// Says that there are no more items.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn end(self) -> Result<(), CallError> {
        block_on(self.0.end())
    }
}
