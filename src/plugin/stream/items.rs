//! What a method gives that gives its items one by one.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;

use super::line::Line;
use crate::plugin::Failure;
use crate::wire::{Progress, to_vec};

/// The items of a method that gives them one by one.
///
/// They are made as they are asked for: a caller that reads slowly holds their maker back.
///
/// ```
/// use plugbus::plugin::{Failure, Items};
///
/// fn countdown(from: u32) -> Result<Items<u32>, Failure> {
///     Ok(Items::of((0..=from).rev()))
/// }
/// ```
#[must_use = "a method returns them"]
pub struct Items<T> {
    source: Source,
    kind: PhantomData<fn(T)>,
}

/// Where items come from, and how many may be made before they are asked for.
pub struct Source {
    pub(super) maker: Maker,
    pub(super) ahead: Option<usize>,
    pub(super) endless: bool,
}

/// What makes items.
pub(super) enum Maker {
    /// One value, which is there.
    Value(Vec<u8>),
    /// Code that keeps a thread.
    Plain(Box<dyn FnOnce(Arc<Line>) -> Result<(), Failure> + Send>),
    /// Code that is awaited.
    Async(Box<dyn FnOnce(Arc<Line>) -> Pending + Send>),
}

impl Source {
    /// The only item.
    pub(crate) fn value(value: Vec<u8>) -> Self {
        Self { maker: Maker::Value(value), ahead: None, endless: false }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("ahead", &self.ahead).finish_non_exhaustive()
    }
}

pub(super) type Pending = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// Nobody wants any more items: the caller has ended the stream, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody wants any more items")]
pub struct Closed;

impl<T: Serialize + 'static> Items<T> {
    /// The items of an iterator, which has a thread of its own and may block.
    pub fn of<I>(items: I) -> Self
    where
        I: IntoIterator<Item = T> + Send + 'static,
    {
        Self::written(move |mut sender| {
            for item in items {
                sender.send_blocking(&item)?;
            }
            Ok(())
        })
    }

    /// As [`of`](Self::of), up to the first error, which ends the stream.
    pub fn try_of<I, E>(items: I) -> Self
    where
        I: IntoIterator<Item = Result<T, E>> + Send + 'static,
        E: Into<Failure>,
    {
        Self::written(move |mut sender| {
            for item in items {
                sender.send_blocking(&item.map_err(Into::into)?)?;
            }
            Ok(())
        })
    }

    /// The items that plain code sends; it has a thread of its own and may block.
    pub fn written(write: impl FnOnce(Sender<T>) -> Result<(), Failure> + Send + 'static) -> Self {
        Self::from_maker(Maker::Plain(Box::new(move |line| write(Sender::new(line)))))
    }

    /// The items that async code sends; it must not block, and is dropped when nobody wants any more.
    ///
    /// ```
    /// # use plugbus::plugin::{Failure, Items};
    /// # use std::time::Duration;
    /// async fn ticks(every_ms: u64) -> Result<Items<u64>, Failure> {
    ///     Ok(Items::channel(move |mut sender| async move {
    ///         for tick in 0.. {
    ///             sender.send(&tick).await?;
    ///             tokio::time::sleep(Duration::from_millis(every_ms)).await;
    ///         }
    ///         Ok(())
    ///     })
    ///     .endless())
    /// }
    /// ```
    pub fn channel<F, Fut>(write: F) -> Self
    where
        F: FnOnce(Sender<T>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Self::from_maker(Maker::Async(Box::new(move |line| Box::pin(write(Sender::new(line))))))
    }

    /// The items of any async stream.
    #[cfg(feature = "stream")]
    pub fn stream<S, E>(items: S) -> Self
    where
        S: futures_core::Stream<Item = Result<T, E>> + Send + 'static,
        T: Send + Sync,
        E: Into<Failure> + Send,
    {
        Self::channel(move |mut sender| async move {
            let mut items = Box::pin(items);
            while let Some(item) = std::future::poll_fn(|context| items.as_mut().poll_next(context)).await {
                sender.send(&item.map_err(Into::into)?).await?;
            }
            Ok(())
        })
    }
}

impl<T> Items<T> {
    fn from_maker(maker: Maker) -> Self {
        Self { source: Source { maker, ahead: None, endless: false }, kind: PhantomData }
    }

    pub(crate) fn into_source(self) -> Source {
        self.source
    }

    /// How many items may be made before they are asked for: 1024 by default, which is also the most.
    pub fn ahead(mut self, items: usize) -> Self {
        self.source.ahead = Some(items);
        self
    }

    /// Says that they never end by themselves: they do when the plugin drains.
    ///
    /// Its callers then get what is there and an ordinary end; the code that makes them is told as if they had gone.
    /// Without this, a plugin that drains waits for such a stream until it is killed.
    pub fn endless(mut self) -> Self {
        self.source.endless = true;
        self
    }
}

impl<T> fmt::Debug for Items<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}

/// Sends the items of a stream to its caller.
pub struct Sender<T> {
    line: Arc<Line>,
    kind: PhantomData<fn(T)>,
}

impl<T: Serialize> Sender<T> {
    fn new(line: Arc<Line>) -> Self {
        Self { line, kind: PhantomData }
    }

    /// Sends an item, once there is room for it.
    ///
    /// # Errors
    /// [`Closed`] where nobody wants any more, and where the item does not serialise, of which the caller is told.
    ///
    /// # Cancel safety
    /// Dropped, the item is not sent.
    pub fn send(&mut self, item: &T) -> impl Future<Output = Result<(), Closed>> + Send + use<T> {
        let (line, item) = (Arc::clone(&self.line), self.encode(item));
        async move { line.give_async(&item?).await }
    }

    /// As [`send`](Self::send), and waits on this thread.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn send_blocking(&mut self, item: &T) -> Result<(), Closed> {
        self.line.give(&self.encode(item)?)
    }

    fn encode(&self, item: &T) -> Result<Vec<u8>, Closed> {
        to_vec(item).map_err(|error| {
            self.line.finish(Err(Failure::new(format!("an item: {error}")).into_fault()));
            Closed
        })
    }
}

impl<T> Sender<T> {
    /// Says how far the work has got; of several reports that nobody has read, the last one is told.
    pub fn progress(&self, progress: Progress) {
        self.line.report(progress);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}
