//! The items that a method gives.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serde::de::DeserializeOwned;

use super::Line;
use crate::bus::Body;
use crate::host::CallError;
use crate::wire::{Batch, CodecError, Progress, Raw};

/// A piece whose item is one MessagePack value, or why there is none.
type RawPiece<'a> = Result<Piece<&'a [u8]>, CallError>;

type Fetching = Pin<Box<dyn Future<Output = Result<Body, CallError>> + Send>>;

/// The items of a method that gives them one by one, as they come.
///
/// What is not read is not asked for: the method waits. Dropped before its end, the stream ends on the other side, too.
///
/// ```no_run
/// # async fn f(bus: plugbus::host::Bus) -> Result<(), plugbus::host::CallError> {
/// let mut lines = bus.request("text.lines").stream::<String, _>("one\ntwo").await?;
/// while let Some(line) = lines.next().await {
///     println!("{}", line?);
/// }
/// # Ok(()) }
/// ```
pub struct Reader<T> {
    source: Source,
    /// The number of the next item to ask for.
    from: u64,
    ready: Ready,
    fetching: Option<Fetching>,
    /// After what is ready comes the end.
    end: Option<Result<(), CallError>>,
    kind: PhantomData<fn() -> T>,
}

enum Source {
    Line(Arc<Line>),
    /// A method that gives one value, by the name of its plugin.
    Value(Arc<str>),
}

/// What has come and was not read yet.
#[derive(Default)]
struct Ready {
    body: Option<Body>,
    items: VecDeque<Range<usize>>,
    progress: Option<Progress>,
}

/// An item, or how far the method has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<T> {
    /// The next item.
    Item(T),
    /// What the method says of its progress.
    Progress(Progress),
}

impl Piece<&[u8]> {
    pub(super) fn into_owned(self) -> Piece<Vec<u8>> {
        match self {
            Self::Item(item) => Piece::Item(item.to_vec()),
            Self::Progress(progress) => Piece::Progress(progress),
        }
    }
}

impl<T> Reader<T> {
    pub(in crate::host) fn new(line: Arc<Line>) -> Self {
        let (source, ready) = (Source::Line(line), Ready::default());
        Self { source, from: 0, ready, fetching: None, end: None, kind: PhantomData }
    }

    /// The one value of a method that does not stream, where it stands in its reply.
    pub(in crate::host) fn of_value(plugin: Arc<str>, body: Body, value: Range<usize>) -> Self {
        let ready = Ready { body: Some(body), items: [value].into(), progress: None };
        Self { source: Source::Value(plugin), from: 1, ready, fetching: None, end: Some(Ok(())), kind: PhantomData }
    }

    /// The next item as one MessagePack value, or the next progress; `None` when there is no more.
    pub(in crate::host) fn poll_raw(&mut self, context: &mut Context<'_>) -> Poll<Option<RawPiece<'_>>> {
        loop {
            if let Some(progress) = self.ready.progress.take() {
                return Poll::Ready(Some(Ok(Piece::Progress(progress))));
            }
            if let Some(item) = self.ready.items.pop_front() {
                let body: &[u8] = self.ready.body.as_deref().unwrap_or_default();
                return Poll::Ready(Some(Ok(Piece::Item(body.get(item).unwrap_or(Raw::NIL.bytes())))));
            }
            if let Some(end) = &mut self.end {
                return Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err));
            }
            if let Err(error) = ready!(self.poll_batch(context)) {
                self.end = Some(Err(error));
            }
        }
    }

    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let Source::Line(line) = &self.source else { return Poll::Ready(Ok(())) };
        let from = self.from;
        let fetching = self.fetching.get_or_insert_with(|| {
            let line = Arc::clone(line);
            Box::pin(async move { line.next(from).await })
        });
        let fetched = ready!(fetching.as_mut().poll(context));
        self.fetching = None;
        Poll::Ready(fetched.and_then(|body| self.read(body)))
    }

    fn read(&mut self, body: Body) -> Result<(), CallError> {
        let Source::Line(line) = &self.source else { return Ok(()) };
        let batch = Batch::read(line.result(&body)?).map_err(|error| line.unreadable(error))?;
        if batch.from != self.from {
            return Err(line.unreadable(CodecError::Expected("the items that were asked for")));
        }
        self.from += batch.items.len() as u64;
        self.ready.items = batch.items.iter().filter_map(|item| item.range_in(&body)).collect();
        self.ready.progress = batch.progress;
        if let Some(end) = batch.end {
            line.is_over();
            self.end = Some(end.map_err(|fault| CallError::Plugin { plugin: line.plugin().to_owned(), fault }));
        }
        self.ready.body = Some(body);
        Ok(())
    }

    fn plugin(&self) -> &str {
        match &self.source {
            Source::Line(line) => line.plugin(),
            Source::Value(plugin) => plugin,
        }
    }
}

impl<T: DeserializeOwned> Reader<T> {
    /// The next item, once it has come; `None` when there is no more. Progress is passed over.
    ///
    /// Between two items any time may pass; each question that is asked meanwhile is answered within the call's timeout.
    ///
    /// # Errors
    /// [`CallError::Plugin`] where the method fails, [`CallError::Died`] where its plugin does, [`CallError::Reply`]
    /// for an item of another type. After the first two the stream is over.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<T, CallError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`next`](Self::next), with progress.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As for [`next`](Self::next).
    pub async fn next_piece(&mut self) -> Option<Result<Piece<T>, CallError>> {
        poll_fn(|context| self.poll_piece(context)).await
    }

    /// As [`next`](Self::next), for who polls by hand.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<T, CallError>>> {
        loop {
            match ready!(self.poll_piece(context)) {
                Some(Ok(Piece::Progress(_))) => {}
                Some(Ok(Piece::Item(item))) => return Poll::Ready(Some(Ok(item))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// As [`next_piece`](Self::next_piece), for who polls by hand.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Piece<T>, CallError>>> {
        let item = match ready!(self.poll_raw(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(Piece::Progress(progress))) => return Poll::Ready(Some(Ok(Piece::Progress(progress)))),
            Some(Ok(Piece::Item(item))) => Raw::checked_before(item).to::<T>(),
        };
        let item = item.map_err(|error| CallError::Reply { plugin: self.plugin().to_owned(), error });
        Poll::Ready(Some(item.map(Piece::Item)))
    }

    /// The one item of a method that takes many and gives one.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// Dropping the future ends the stream.
    pub async fn only(mut self) -> Result<T, CallError> {
        match self.next().await {
            Some(item) => item,
            None => {
                Err(CallError::Reply { plugin: self.plugin().to_owned(), error: CodecError::Expected("an item") })
            }
        }
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        if let Source::Line(line) = &self.source {
            line.close();
        }
    }
}

#[cfg(feature = "stream")]
impl<T: DeserializeOwned> futures_core::Stream for Reader<T> {
    type Item = Result<T, CallError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Reader::poll_next(self.get_mut(), context)
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("from", &self.from).finish_non_exhaustive()
    }
}
