//! Putting a plugin together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::ServeError;
use super::admission::Limits;
use super::environment::{Environment, directory_of};
use super::handler::{self, AsyncHandler, Handler, Made, Prepare};
use super::here::Pace;
use super::schema;
use super::server::{self, Server};
use super::tally::Tally;
use crate::bus::{Endpoint, Guests, Lane, Replier, Respondent};
use crate::wire::{Info, MethodInfo, check_method};

/// How many calls run at once unless the author says otherwise.
const CONCURRENCY: usize = 64;

/// No plugin runs or lets wait more than so many: each of them takes memory, and a thread where it blocks.
const MOST: usize = 65_536;

/// A plugin in the making: methods with names and documentation.
pub struct Plugin {
    pub(super) name: String,
    pub(super) version: String,
    concurrency: usize,
    /// As many as run, where nothing is said.
    queue: Option<usize>,
    lane: Lane,
    pub(super) methods: BTreeMap<String, Method>,
    problem: Option<ServeError>,
}

pub(super) struct Method {
    pub(super) info: MethodInfo,
    pub(super) prepare: Prepare,
    pub(super) pace: Pace,
    pub(super) tally: Arc<Tally>,
}

impl Plugin {
    /// A plugin without methods.
    ///
    /// The name counts only where no supervisor gives another; the version is the author's own.
    #[must_use]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        let (name, version) = (name.into(), version.into());
        Self {
            name,
            version,
            concurrency: CONCURRENCY,
            queue: None,
            lane: Lane::chosen(),
            methods: BTreeMap::new(),
            problem: None,
        }
    }

    /// Adds a plain function; it may block, and keeps no other call waiting for more than a moment.
    ///
    /// It runs on the thread that has read the request; once one has taken long, its calls get threads of their own.
    ///
    /// A wrong or repeated name is reported when the plugin is served.
    #[must_use]
    pub fn method<M>(self, name: &str, doc: &str, handler: impl Handler<M>) -> Self {
        let made = handler::blocking(handler);
        self.add(name, doc, made)
    }

    /// Adds an async function; it must not block, and is dropped when nobody waits for it any more.
    ///
    /// A wrong or repeated name is reported when the plugin is served.
    #[must_use]
    pub fn method_async<M>(self, name: &str, doc: &str, handler: impl AsyncHandler<M>) -> Self {
        let made = handler::asynchronous(handler);
        self.add(name, doc, made)
    }

    /// Declares that running the named method twice is as good as running it once.
    #[must_use]
    pub fn idempotent(self, name: &str) -> Self {
        self.describe(name, |info| info.idempotent = true)
    }

    /// Says how long the named method takes as a rule, in whole milliseconds.
    #[must_use]
    pub fn typical(self, name: &str, time: Duration) -> Self {
        let millis = time.as_millis().try_into().unwrap_or(u64::MAX);
        self.describe(name, |info| info.typical_ms = Some(millis))
    }

    /// Describes what the named method returns by a type of your own, so that callers know before they call.
    ///
    /// Texts, numbers, truth values, nothing, and lists and maps of these are known without it. What a function
    /// returns need only serialise; to be described, a type has to be readable, too. It may be another type that
    /// looks the same.
    #[must_use]
    pub fn returns<T: DeserializeOwned>(self, name: &str) -> Self {
        self.describe(name, |info| info.result = schema::of::<T>())
    }

    /// Says what a field of the named method's argument is for: serde does not hand on the comments in a struct.
    #[must_use]
    pub fn explain(self, name: &str, field: &str, doc: &str) -> Self {
        self.describe(name, |info| {
            if let Some(params) = &mut info.params {
                params.explain(field, doc);
            }
        })
    }

    /// How many calls run at once, 64 by default and 65,536 at most; what comes beyond these waits.
    ///
    /// Those that wait have their turns caller by caller: one that makes a thousand calls does not keep out another.
    #[must_use]
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = calls.max(1);
        self
    }

    /// How many calls wait for their turn, by default as many as run at once; past these, callers are told `busy`.
    ///
    /// A caller that has few calls waiting gets in all the same, in place of one that has many.
    #[must_use]
    pub fn queue(mut self, calls: usize) -> Self {
        self.queue = Some(calls);
        self
    }

    pub(super) fn limits(&self) -> Limits {
        let concurrency = self.concurrency.min(MOST);
        Limits { concurrency, queue: self.queue.unwrap_or(concurrency).min(MOST) }
    }

    /// What its calls are carried by; what `$PLUGBUS_LANE` says, where nothing is said here.
    #[must_use]
    pub fn lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Serves until SIGTERM, SIGINT or `$stop`, then finishes the calls that run.
    ///
    /// Under a supervisor the environment says where. Started by hand, the plugin joins the bus by itself,
    /// `$PLUGBUS_BUS` or `default`, and publishes its own card.
    ///
    /// # Errors
    /// [`ServeError`] where a method's name is wrong or the endpoint cannot be used.
    pub fn serve(self) -> Result<(), ServeError> {
        let environment = Environment::read(&self.name)?;
        server::run_process(self, &environment)
    }

    /// Starts serving on the current tokio runtime, under a name and instance that somebody else chose.
    ///
    /// For programs that are more than a plugin; they listen to signals themselves.
    ///
    /// # Errors
    /// [`ServeError`] where a method's name is wrong or the endpoint cannot be used.
    pub fn start(
        self,
        name: &str,
        instance: &str,
        call: &Endpoint,
        survey: Option<&Endpoint>,
    ) -> Result<Server, ServeError> {
        self.start_on(directory_of(call), (name, instance), (call, &Guests::default()), survey)
    }

    /// As [`start`](Self::start), on the bus in that directory, for these guests too.
    pub(super) fn start_on(
        self,
        bus: &Path,
        who: (&str, &str),
        (call, guests): (&Endpoint, &Guests),
        survey: Option<&Endpoint>,
    ) -> Result<Server, ServeError> {
        let plugin = self.checked()?;
        let replier = Replier::listen_for(plugin.lane, call, server::room(plugin.limits()), guests)?;
        let respondent = survey.map(Respondent::dial).transpose()?;
        Server::start(plugin, who, bus, replier, respondent)
    }

    pub(super) fn checked(mut self) -> Result<Self, ServeError> {
        match self.problem.take() {
            Some(problem) => Err(problem),
            None => Ok(self),
        }
    }

    /// What the plugin says of itself to `$info`.
    #[must_use]
    pub fn info(&self) -> Info {
        let methods = self.methods.values().map(|method| method.info.clone()).collect();
        Info { version: self.version.clone(), methods, protocol_max: None }
    }

    fn describe(mut self, name: &str, change: impl FnOnce(&mut MethodInfo)) -> Self {
        match self.methods.get_mut(name) {
            Some(method) => change(&mut method.info),
            None => drop(self.problem.get_or_insert_with(|| ServeError::Unregistered(name.to_owned()))),
        }
        self
    }

    fn add(mut self, name: &str, doc: &str, Made { prepare, params, result, streams }: Made) -> Self {
        if let Err(problem) = self.check(name) {
            self.problem.get_or_insert(problem);
            return self;
        }
        let info = MethodInfo { doc: doc.to_owned(), params, result, streams, ..MethodInfo::new(name) };
        self.methods.insert(name.to_owned(), Method { info, prepare, pace: Pace::default(), tally: Arc::default() });
        self
    }

    fn check(&self, name: &str) -> Result<(), ServeError> {
        check_method(name)?;
        match self.methods.contains_key(name) {
            true => Err(ServeError::Twice(name.to_owned())),
            false => Ok(()),
        }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let methods: Vec<_> = self.methods.keys().collect();
        f.debug_struct("Plugin").field("name", &self.name).field("methods", &methods).finish_non_exhaustive()
    }
}
