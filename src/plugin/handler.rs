//! What may be registered as a method.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::values::{Argument, Output};
use super::{Context, Failure};
use crate::wire::{Fault, Raw, Schema};

/// The encoded reply of a method that succeeded, or its fault.
pub(super) type Outcome = Result<Vec<u8>, Fault>;

/// A call whose parameters have been read, ready to run.
pub(super) enum Job {
    /// To be run on a thread of its own.
    Blocking(Box<dyn FnOnce() -> Outcome + Send>),
    /// To be awaited, or dropped when nobody waits any more.
    Async(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

/// Reads the parameters and makes the job of them.
pub(super) type Prepare = Arc<dyn Fn(Raw<'_>, Context) -> Result<Job, Fault> + Send + Sync>;

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
}

impl Made {
    fn new<A: Argument, R: Output>(
        prepare: impl Fn(Raw<'_>, Context) -> Result<Job, Fault> + Send + Sync + 'static,
    ) -> Self {
        Self { prepare: Arc::new(prepare), params: A::schema(), result: R::schema() }
    }
}

pub(super) fn blocking<M, H: Handler<M>>(handler: H) -> Made {
    let handler = Arc::new(handler);
    let prepare = move |params: Raw<'_>, context: Context| {
        let argument = H::Argument::read(params)?;
        let handler = Arc::clone(&handler);
        Ok(Job::Blocking(Box::new(move || outcome(handler.run(argument, context)))))
    };
    Made::new::<H::Argument, H::Output>(prepare)
}

pub(super) fn asynchronous<M, H: AsyncHandler<M>>(handler: H) -> Made {
    let prepare = move |params: Raw<'_>, context: Context| {
        let running = handler.run(H::Argument::read(params)?, context);
        Ok(Job::Async(Box::pin(async move { outcome(running.await) })))
    };
    Made::new::<H::Argument, H::Output>(prepare)
}

fn outcome<R: Output>(result: Result<R, Failure>) -> Outcome {
    result.map_err(Failure::into_fault)?.into_reply()
}
