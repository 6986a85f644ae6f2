//! The items that a method takes.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;

use super::Line;
use crate::host::CallError;
use crate::wire::{Items, Put, to_vec};

/// Brings the items of a method that takes them one by one.
///
/// A method that does not take them holds the caller back. Dropped before [`end`](Self::end), the whole stream ends.
pub struct Writer<T> {
    line: Arc<Line>,
    /// The number of the next item; `None` where that is in doubt.
    next: Option<u64>,
    ended: bool,
    kind: PhantomData<fn(T)>,
}

impl<T: Serialize> Writer<T> {
    pub(in crate::host) fn new(line: Arc<Line>) -> Self {
        Self { line, next: Some(0), ended: false, kind: PhantomData }
    }

    /// Brings one item, once there is room for it; whether more are wanted.
    ///
    /// # Errors
    /// [`CallError`]; its variants say what the caller can do.
    ///
    /// # Cancel safety
    /// Dropped, the item may have been brought or not.
    pub async fn send(&mut self, item: &T) -> Result<bool, CallError> {
        self.send_all([item]).await
    }

    /// Brings several items at once, which is faster; whether more are wanted.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Dropped, some of the items may have been brought.
    pub async fn send_all<'a>(&mut self, items: impl IntoIterator<Item = &'a T>) -> Result<bool, CallError>
    where
        T: 'a,
    {
        let (mut count, mut values) = (0, Vec::new());
        for item in items {
            values.append(&mut to_vec(item).map_err(CallError::Params)?);
            count += 1;
        }
        self.bring(count, &values, false).await
    }

    /// Says that there are no more items.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    ///
    /// # Cancel safety
    /// Dropping the future ends the stream.
    pub async fn end(mut self) -> Result<(), CallError> {
        self.bring(0, &[], true).await?;
        self.ended = true;
        Ok(())
    }

    async fn bring(&mut self, mut count: u32, mut values: &[u8], end: bool) -> Result<bool, CallError> {
        loop {
            let from = self.next.take();
            // After a future that was dropped: what has arrived is asked for first.
            let items = if from.is_some() { Items::new(count, values) } else { Items::NONE };
            let put = Put { stream: "", from, items, end: end && from.is_some(), keep_ms: None };
            let taken = self.line.put(put).await?;
            self.next = Some(taken.next);
            if taken.end {
                return Ok(false);
            }
            let Some(from) = from else { continue };
            let took = taken.next.saturating_sub(from).min(count.into());
            let length: usize = items.iter().take(took as usize).map(|item| item.bytes().len()).sum();
            (count, values) = (count - took as u32, &values[length..]);
            if count == 0 {
                return Ok(true);
            }
        }
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        if !self.ended {
            self.line.close();
        }
    }
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("next", &self.next).finish_non_exhaustive()
    }
}
