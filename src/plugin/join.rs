//! A program that has methods of its own on a bus: what it starts, or anybody else there, calls it back.

use super::server::Server;
use super::{Plugin, ServeError};
use crate::bus::{BusDir, Card, Guests, ProcessId, new_instance};
use crate::host::{Bus, blocking};
use crate::wire::PROTOCOL;

/// A program's own methods on a bus, served until this is dropped.
#[derive(Debug)]
pub struct Joined {
    /// Dropped first: whoever finds no card does not call, and whoever calls finds somebody.
    card: Published,
    server: Server,
    bus: Bus,
}

/// A card that is taken back when it is dropped.
#[derive(Debug)]
struct Published {
    bus: BusDir,
    card: Card,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.bus.sweep(&self.card.name, &self.card.instance);
    }
}

impl Plugin {
    /// Serves the methods on that bus, in the background on the current tokio runtime, until what is returned is dropped.
    ///
    /// For programs that call plugins and are called back by them. Nobody supervises such a plugin.
    ///
    /// # Errors
    /// [`ServeError`] where a name is wrong, or the endpoint or the directory cannot be used.
    pub fn join(self, bus: &Bus) -> Result<Joined, ServeError> {
        crate::wire::check_plugin_name(&self.name)?;
        let (directory, instance) = (bus.directory().clone(), new_instance());
        let (name, info) = (self.name.clone(), self.info());
        let call = directory.endpoint(&name, &instance)?;
        let server = self.start_on(directory.path(), (&name, &instance), (&call, &Guests::default()), None)?;
        let card = Card {
            name,
            version: info.version,
            process: ProcessId::own(),
            protocol: PROTOCOL,
            protocol_max: None,
            url: call.to_string(),
            methods: info.methods,
            instance,
        };
        directory.publish(&card)?;
        let bus = bus.signed(&card.instance);
        Ok(Joined { card: Published { bus: directory, card }, server, bus })
    }

    /// As [`join`](Self::join), for programs without a runtime: it brings one along.
    ///
    /// # Errors
    /// As for [`join`](Self::join), and where the system refuses threads.
    pub fn join_blocking(self, bus: &blocking::Bus) -> Result<JoinedBlocking, ServeError> {
        let runtime = super::server::runtime().map_err(|error| ServeError::System("start threads", error))?;
        let entered = runtime.enter();
        let joined = self.join(bus.as_async())?;
        drop(entered);
        Ok(JoinedBlocking { bus: blocking::Bus::of(joined.bus.clone()), joined, runtime: Some(runtime) })
    }
}

impl Joined {
    /// The same bus; what is called by it can call back this very program.
    ///
    /// To a plugin that it calls, this program's instance is the [caller](crate::wire::Trail::caller).
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// This program's instance on the bus.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.card.card.instance
    }

    /// Takes no more calls, and finishes those that run.
    ///
    /// # Cancel safety
    /// Dropping the future ends it at once; calls that run go on without being answered.
    pub async fn leave(self) {
        let Self { card, server, bus: _ } = self;
        drop(card);
        server.stopper().stop();
        server.finished().await;
    }
}

/// As [`Joined`], with a runtime of its own.
#[derive(Debug)]
pub struct JoinedBlocking {
    bus: blocking::Bus,
    joined: Joined,
    runtime: Option<tokio::runtime::Runtime>,
}

impl JoinedBlocking {
    /// As [`Joined::bus`].
    #[must_use]
    pub fn bus(&self) -> &blocking::Bus {
        &self.bus
    }

    /// As [`Joined::instance`].
    #[must_use]
    pub fn instance(&self) -> &str {
        self.joined.instance()
    }
}

impl Drop for JoinedBlocking {
    fn drop(&mut self) {
        // A plain function that still runs must not keep whoever drops this.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
