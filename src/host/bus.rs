//! A bus as a caller sees it.

use std::env;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call_id::CallIds;
use super::discovery::{Age, Discovery};
use super::links::Links;
use super::{CallError, Request};
use crate::bus::{BusDir, Card};
use crate::wire::Trail;

/// A bus to call plugins on; a clone shares its connections.
#[derive(Debug, Clone)]
pub struct Bus {
    pub(super) shared: Arc<Shared>,
    /// Who calls, where that is known on the bus.
    pub(super) origin: Option<Arc<Trail>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) discovery: Discovery,
    pub(super) links: Links,
    pub(super) call_ids: CallIds,
}

impl Bus {
    /// The bus `$PLUGBUS_BUS`, or `default`.
    ///
    /// # Errors
    /// [`CallError::NoBus`] where it does not exist, [`CallError::Bus`] where others can get at it.
    pub fn open() -> Result<Self, CallError> {
        let name = env::var("PLUGBUS_BUS").ok().filter(|name| !name.is_empty());
        Self::named(name.as_deref().unwrap_or("default"))
    }

    /// The bus of that name.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn named(bus: &str) -> Result<Self, CallError> {
        Self::at(BusDir::locate(bus)?.path())
    }

    /// The bus in that very directory.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn at(directory: impl AsRef<Path>) -> Result<Self, CallError> {
        let directory = BusDir::at(directory.as_ref());
        match directory.check() {
            Err(crate::bus::BusError::NoBus(path)) => return Err(CallError::NoBus(path)),
            checked => checked?,
        }
        let shared =
            Shared { discovery: Discovery::new(directory), links: Links::default(), call_ids: CallIds::default() };
        Ok(Self { shared: Arc::new(shared), origin: None })
    }

    /// The same bus, for calls of that instance.
    #[cfg(feature = "plugin")]
    pub(crate) fn signed(&self, instance: &str) -> Self {
        let origin = Arc::new(Trail::default().nested(instance));
        Self { shared: Arc::clone(&self.shared), origin: Some(origin) }
    }

    /// The directory of this bus.
    #[must_use]
    pub fn directory(&self) -> &BusDir {
        &self.shared.discovery.directory
    }

    /// The plugins that can be called now, each instance with its card, the supervisor among them.
    ///
    /// # Errors
    /// [`CallError::NoBus`] where the bus is gone.
    pub fn plugins(&self) -> Result<Vec<Card>, CallError> {
        self.shared.discovery.forget();
        let cards = self.shared.discovery.cards(Age::Now, Instant::now())?;
        Ok(cards.alive())
    }

    /// Calls a method, named `method` or `plugin.method`, with a deadline of five seconds.
    ///
    /// A plugin that is being restarted is waited for. The call is sent once.
    ///
    /// # Errors
    /// [`CallError`]; its variants say what the caller can do.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call; the method may have run.
    pub async fn call<R, P>(&self, method: &str, params: &P) -> Result<R, CallError>
    where
        R: DeserializeOwned,
        P: Serialize + ?Sized,
    {
        self.request(method).call(params).await
    }

    /// A call with more to say than [`call`](Self::call) takes.
    pub fn request<'a>(&'a self, method: &'a str) -> Request<'a> {
        Request::new(self, method)
    }
}
