//! What a method takes that takes its items one by one.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::line::Line;
use crate::plugin::Failure;
use crate::wire::from_slice;

/// The items that a method takes one by one: an iterator for plain code, [`receive`](Self::receive) for async code.
///
/// The caller is held back while they are not taken. A method may end before it has taken all.
///
/// ```
/// use plugbus::plugin::{Failure, Input};
///
/// fn sum(numbers: Input<u64>) -> Result<u64, Failure> {
///     numbers.sum()
/// }
/// ```
pub struct Input<T> {
    line: Arc<Line>,
    count: u64,
    kind: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Input<T> {
    pub(crate) fn new(line: Arc<Line>) -> Self {
        Self { line, count: 0, kind: PhantomData }
    }

    /// The next item, once the caller has brought it; `None` when there is no more.
    ///
    /// # Errors
    /// A failure with the code `bad_params` for an item of another type.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn receive(&mut self) -> Option<Result<T, Failure>> {
        let item = self.line.receive_async().await?;
        Some(self.read(&item))
    }

    fn read(&mut self, item: &[u8]) -> Result<T, Failure> {
        let number = self.count;
        self.count += 1;
        from_slice(item).map_err(|error| Failure::bad_params(format!("item {number}: {error}")))
    }
}

/// Waits on the thread for each item.
impl<T: DeserializeOwned> Iterator for Input<T> {
    type Item = Result<T, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.line.receive()?;
        Some(self.read(&item))
    }
}

impl<T> fmt::Debug for Input<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("count", &self.count).finish_non_exhaustive()
    }
}
