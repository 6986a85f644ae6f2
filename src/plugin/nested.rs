//! A call that a handler makes, as a part of the one it works on.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Context;
use crate::bus::block_on;
use crate::host::CallError;

/// A call in the making, nested in the one that a handler works on.
///
/// It ends with that one: with its deadline, and when it is cancelled.
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is sent before `call`"]
pub struct Nested<'a> {
    context: &'a Context,
    method: &'a str,
    instance: Option<&'a str>,
    timeout: Duration,
}

impl<'a> Nested<'a> {
    pub(super) fn new(context: &'a Context, method: &'a str) -> Self {
        Self { context, method, instance: None, timeout: Duration::MAX }
    }

    /// Names the one instance that may answer.
    pub fn instance(mut self, instance: &'a str) -> Self {
        self.instance = Some(instance);
        self
    }

    /// Sets the time it may take; never more than what is left of the call it is nested in.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends the call and reads its result.
    ///
    /// # Errors
    /// [`CallError`]; [`Cancelled`](CallError::Cancelled) where the call it is nested in was.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call.
    pub async fn call<R, P>(self, params: &P) -> Result<R, CallError>
    where
        R: DeserializeOwned,
        P: Serialize + ?Sized,
    {
        let Self { context, method, instance, timeout } = self;
        let trail = context.trail().nested(&context.home.instance);
        let mut request = context.home.bus()?.request(method).trail(&trail).timeout(timeout.min(context.remaining()));
        if let Some(instance) = instance {
            request = request.instance(instance);
        }
        tokio::select! {
            called = request.call(params) => called,
            () = context.cancelled() => Err(CallError::Cancelled),
        }
    }

    /// As [`call`](Self::call), for plain functions: waits on the calling thread.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn call_blocking<R, P>(self, params: &P) -> Result<R, CallError>
    where
        R: DeserializeOwned,
        P: Serialize + ?Sized,
    {
        block_on(self.call(params))
    }
}
