//! What may be registered as a method.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::stream::{Opening, Source, on_thread};
use super::values::{Argument, Encoded, Output};
use super::{Context, Failure};
use crate::bus::Incoming;
use crate::wire::{Code, Fault, Raw, Schema, Streams};

/// The reply of a method that succeeded, or its fault.
pub(super) type Outcome = Result<Encoded, Fault>;

/// A call whose parameters have been read, ready to run.
pub(super) enum Job {
    /// To be run on a thread of its own.
    Blocking(Box<dyn FnOnce() -> Outcome + Send>),
    /// To be awaited, or dropped when nobody waits any more.
    Async(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// Reads the parameters and makes the job of them.
pub(super) type Prepare = Arc<dyn Fn(Raw<'_>, Context, &Incoming) -> Result<Job, Fault> + Send + Sync>;

/// A plain function as a method: `Fn(A) -> Result<R, E>`, or with a [`Context`] after the argument.
///
/// `A` is anything serde can read, `R` anything of its own that it can write ([`Argument`] and [`Output`] say more), `E` a
/// [`Failure`] or any standard error. `M` only tells the two forms apart.
pub trait Handler<M>: Send + Sync + 'static {
    /// The argument.
    type Argument: Argument;
    /// The result.
    type Output: Output;
    /// Runs the method once.
    ///
    /// # Errors
    /// Whatever the function itself reports.
    fn run(&self, argument: Self::Argument, context: Context) -> Result<Self::Output, Failure>;
}

impl<F, A, R, E> Handler<(A,)> for F
where
    F: Fn(A) -> Result<R, E> + Send + Sync + 'static,
    A: Argument,
    R: Output,
    E: Into<Failure>,
{
    type Argument = A;
    type Output = R;

    fn run(&self, argument: A, _: Context) -> Result<R, Failure> {
        self(argument).map_err(Into::into)
    }
}

impl<F, A, R, E> Handler<(A, Context)> for F
where
    F: Fn(A, Context) -> Result<R, E> + Send + Sync + 'static,
    A: Argument,
    R: Output,
    E: Into<Failure>,
{
    type Argument = A;
    type Output = R;

    fn run(&self, argument: A, context: Context) -> Result<R, Failure> {
        self(argument, context).map_err(Into::into)
    }
}

/// An async function as a method, in the same two forms as [`Handler`].
pub trait AsyncHandler<M>: Send + Sync + 'static {
    /// The argument.
    type Argument: Argument;
    /// The result.
    type Output: Output;
    /// Runs the method once; the future is dropped when nobody waits for it any more.
    fn run(
        &self,
        argument: Self::Argument,
        context: Context,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send + 'static;
}

impl<F, A, T, R, E> AsyncHandler<(A,)> for F
where
    F: Fn(A) -> T + Send + Sync + 'static,
    A: Argument,
    T: Future<Output = Result<R, E>> + Send + 'static,
    R: Output,
    E: Into<Failure>,
{
    type Argument = A;
    type Output = R;

    fn run(&self, argument: A, _: Context) -> impl Future<Output = Result<R, Failure>> + Send + 'static {
        let running = self(argument);
        async move { running.await.map_err(Into::into) }
    }
}

impl<F, A, T, R, E> AsyncHandler<(A, Context)> for F
where
    F: Fn(A, Context) -> T + Send + Sync + 'static,
    A: Argument,
    T: Future<Output = Result<R, E>> + Send + 'static,
    R: Output,
    E: Into<Failure>,
{
    type Argument = A;
    type Output = R;

    fn run(&self, argument: A, context: Context) -> impl Future<Output = Result<R, Failure>> + Send + 'static {
        let running = self(argument, context);
        async move { running.await.map_err(Into::into) }
    }
}

/// A handler that can be called without knowing its types, and what is known of them.
pub(super) struct Made {
    pub(super) prepare: Prepare,
    pub(super) params: Option<Schema>,
    pub(super) result: Option<Schema>,
    pub(super) streams: Option<Streams>,
}

impl Made {
    fn new<A: Argument, R: Output>(
        prepare: impl Fn(Raw<'_>, Context, &Incoming) -> Result<Job, Fault> + Send + Sync + 'static,
    ) -> Self {
        let streams = match (A::STREAMS, R::STREAMS) {
            (false, false) => None,
            (false, true) => Some(Streams::Out),
            (true, false) => Some(Streams::In),
            (true, true) => Some(Streams::Both),
        };
        Self { prepare: Arc::new(prepare), params: A::schema(), result: R::schema(), streams }
    }
}

pub(super) fn blocking<M, H: Handler<M>>(handler: H) -> Made {
    let handler = Arc::new(handler);
    let prepare = move |params: Raw<'_>, context: Context, incoming: &Incoming| {
        let mut opening = Opening::of(&context, incoming);
        let handler = Arc::clone(&handler);
        if let Some(opening) = opening.take_if(|_| H::Argument::STREAMS) {
            let run = |line| {
                let argument = H::Argument::receive(line).ok_or_else(no_argument);
                on_thread(move || source(handler.run(argument?, context)))
            };
            return opened(opening.take(run));
        }
        let argument = H::Argument::read(params)?;
        Ok(Job::Blocking(Box::new(move || outcome(handler.run(argument, context), opening))))
    };
    Made::new::<H::Argument, H::Output>(prepare)
}

pub(super) fn asynchronous<M, H: AsyncHandler<M>>(handler: H) -> Made {
    let prepare = move |params: Raw<'_>, context: Context, incoming: &Incoming| {
        let mut opening = Opening::of(&context, incoming);
        if let Some(opening) = opening.take_if(|_| H::Argument::STREAMS) {
            let run = |line| {
                let running = H::Argument::receive(line).map(|argument| handler.run(argument, context));
                async move { source(running.ok_or_else(no_argument)?.await) }
            };
            return opened(opening.take(run));
        }
        let running = handler.run(H::Argument::read(params)?, context);
        Ok(Job::Async(Box::pin(async move { outcome(running.await, opening) })))
    };
    Made::new::<H::Argument, H::Output>(prepare)
}

/// A call that is done once its stream is open.
fn opened(reply: Outcome) -> Result<Job, Fault> {
    let reply = reply?;
    Ok(Job::Blocking(Box::new(move || Ok(reply))))
}

fn no_argument() -> Fault {
    Fault::new(Code::Failed, "the method cannot take its items one by one")
}

fn source<R: Output>(result: Result<R, Failure>) -> Result<Source, Fault> {
    result.map_err(Failure::into_fault)?.into_source()
}

fn outcome<R: Output>(result: Result<R, Failure>, opening: Option<Opening>) -> Outcome {
    match opening {
        Some(opening) => opening.give(source(result)?),
        None => result.map_err(Failure::into_fault)?.into_reply(),
    }
}
