//! The blocking twin, for programs without a runtime.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CallError;
pub use super::stream::blocking::{Reader, Writer};
use crate::bus::{BusDir, Card, block_on};
use crate::wire::Trail;

/// A bus to call plugins on from plain threads; see [`host::Bus`](super::Bus).
#[derive(Debug, Clone)]
pub struct Bus(super::Bus);

impl Bus {
    /// The bus `$PLUGBUS_BUS`, or `default`.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn open() -> Result<Self, CallError> {
        super::Bus::open().map(Self)
    }

    /// The bus of that name.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn named(bus: &str) -> Result<Self, CallError> {
        super::Bus::named(bus).map(Self)
    }

    /// The bus in that very directory.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn at(directory: impl AsRef<Path>) -> Result<Self, CallError> {
        super::Bus::at(directory).map(Self)
    }

    #[cfg(feature = "plugin")]
    pub(crate) fn of(bus: super::Bus) -> Self {
        Self(bus)
    }

    #[cfg(feature = "plugin")]
    pub(crate) fn as_async(&self) -> &super::Bus {
        &self.0
    }

    /// The directory of this bus.
    #[must_use]
    pub fn directory(&self) -> &BusDir {
        self.0.directory()
    }

    /// The plugins that can be called now.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn plugins(&self) -> Result<Vec<Card>, CallError> {
        self.0.plugins()
    }

    /// Calls a method and waits for its result, at most five seconds.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn call<R, P>(&self, method: &str, params: &P) -> Result<R, CallError>
    where
        R: DeserializeOwned,
        P: Serialize + ?Sized,
    {
        self.request(method).call(params)
    }

    /// A call with more to say than [`call`](Self::call) takes.
    pub fn request<'a>(&'a self, method: &'a str) -> Request<'a> {
        Request(self.0.request(method).on_thread())
    }
}

/// A call in the making; see [`host::Request`](super::Request).
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is sent before `call`"]
pub struct Request<'a>(super::Request<'a>);

impl<'a> Request<'a> {
    /// The async twin: as a future, it can be dropped, which cancels the call.
    pub fn into_async(self) -> super::Request<'a> {
        self.0.in_future()
    }

    /// Names the plugin.
    pub fn plugin(self, name: &'a str) -> Self {
        Self(self.0.plugin(name))
    }

    /// Names the one instance that may answer.
    pub fn instance(self, instance: &'a str) -> Self {
        Self(self.0.instance(instance))
    }

    /// Sets the time the whole call may take; five seconds by default.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    /// Says which call this one is nested in, and of which trace it is a part.
    pub fn trail(self, trail: &'a Trail) -> Self {
        Self(self.0.trail(trail))
    }

    /// Sends the call and waits for its result.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn call<R, P>(self, params: &P) -> Result<R, CallError>
    where
        R: DeserializeOwned,
        P: Serialize + ?Sized,
    {
        block_on(self.0.call(params))
    }

    /// Calls a method that gives its items one by one.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn stream<T, P: Serialize + ?Sized>(self, params: &P) -> Result<Reader<T>, CallError> {
        block_on(self.0.stream(params)).map(Reader)
    }

    /// Calls a method that takes its items one by one.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn open<A: Serialize, T>(self) -> Result<(Writer<A>, Reader<T>), CallError> {
        block_on(self.0.open()).map(|(writer, reader)| (Writer(writer), Reader(reader)))
    }

    /// As [`call`](Self::call), but leaves the result as one MessagePack value.
    ///
    /// # Errors
    /// As for the async twin.
    pub fn call_raw<P: Serialize + ?Sized>(self, params: &P) -> Result<Vec<u8>, CallError> {
        block_on(self.0.call_raw(params))
    }
}
