//! Where requests are taken, and the life of the plugin around it.
//!
//! Where the lane can, a request is taken on the thread that has read it, else by the one task of the server.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::admission::{Admission, Admitted, Limits, Pass, Waiting};
use super::builder::{Method, Plugin};
use super::builtin::{self, Then};
use super::call::{Call, Next, Unread};
use super::environment::Environment;
use super::home::Home;
use super::ledger::{Ledger, Ticket};
use super::orphan;
use super::pulse::{self, Identity};
use super::stream::{Asked, Life};
use super::{Context, ServeError};
use crate::bus::{BusDir, Card, Incoming, ProcessId, Replier, Respondent, Turn};
use crate::wire::{Code, CodecError, Fault, MAX_CALL_DEPTH, PROTOCOL, Phase, Reply, Request, Trail, nearest};

/// Requests that may be taken off the socket beyond those that run and wait, so that `$stop` is always heard.
const SPARE: usize = 8;

/// How long a plugin that is done waits for its last replies to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How many requests the socket is to have room for.
pub(super) fn room(limits: Limits) -> usize {
    limits.concurrency + limits.queue + limits.beyond() + SPARE
}

/// A plugin that is being served.
pub struct Server {
    stop: watch::Sender<bool>,
    pub(super) ledger: Arc<Ledger>,
    serving: tokio::task::JoinHandle<()>,
    /// Has nothing more received.
    bolt: Box<dyn Fn() + Send + Sync>,
    /// Whether a supervisor is connected, where one may be.
    presence: Option<watch::Receiver<bool>>,
}

/// Tells a server to drain, from anywhere.
#[derive(Debug, Clone)]
pub struct Stopper(watch::Sender<bool>);

impl Stopper {
    /// Takes no more calls, finishes those that run.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Server {
    pub(super) fn start(
        plugin: Plugin,
        (name, instance): (&str, &str),
        directory: &Path,
        replier: Replier,
        respondent: Option<Respondent>,
    ) -> Result<Self, ServeError> {
        let (info, admission) = (plugin.info(), Admission::new(plugin.limits()));
        let methods: BTreeMap<_, _> =
            plugin.methods.into_iter().map(|(name, method)| (name, Arc::new(method))).collect();
        let tallies = methods.iter().map(|(name, method)| (name.clone(), Arc::clone(&method.tally)));
        let ledger = Arc::new(Ledger::of(name, tallies.collect()));
        let who = Identity { name: name.to_owned(), instance: instance.to_owned(), info };
        let who = Arc::new(who);
        let presence = respondent.as_ref().map(Respondent::presence);
        if let Some(respondent) = respondent {
            let started = pulse::start(respondent, Arc::clone(&who), Arc::clone(&ledger));
            started.map_err(|error| ServeError::System("start the survey thread", error))?;
        }
        let stop = watch::Sender::new(false);
        let desk = Arc::new(Desk {
            who,
            methods,
            admission,
            ledger: Arc::clone(&ledger),
            home: Arc::new(Home::new(instance, directory, Arc::clone(&ledger))),
            stop: stop.clone(),
            runtime: Handle::current(),
        });
        desk.ledger.set_phase(Phase::Ready);
        let at_desk = Arc::clone(&desk);
        replier.attend(move |incoming, turn| at_desk.take(incoming, Some(turn)));
        let bolt = replier.bolt();
        let serving = tokio::spawn(desk.serve(replier, stop.subscribe()));
        Ok(Self { stop, ledger, serving, bolt, presence })
    }

    /// A handle that stops this server.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Waits until the server was stopped, here or by `$stop`, and its last call is done.
    ///
    /// # Cancel safety
    /// Dropping the future ends the server at once; calls that run go on without being answered.
    pub async fn finished(mut self) {
        // An error here is a panic in the serving task: over all the same.
        let _ = (&mut self.serving).await;
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The task ends when its runtime gets to it; whoever calls from now on is to know that it was not heard.
        self.ledger.set_phase(Phase::Draining);
        (self.bolt)();
        self.serving.abort();
    }
}

/// Where requests arrive: answers what can be answered at once, starts the rest.
struct Desk {
    who: Arc<Identity>,
    methods: BTreeMap<String, Arc<Method>>,
    admission: Arc<Admission>,
    ledger: Arc<Ledger>,
    home: Arc<Home>,
    stop: watch::Sender<bool>,
    runtime: Handle,
}

impl Desk {
    async fn serve(self: Arc<Self>, mut replier: Replier, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                Some(incoming) = replier.next() => self.take(incoming, None),
                _ = stop.wait_for(|told| *told) => break,
            }
        }
        self.ledger.set_phase(Phase::Draining);
        loop {
            tokio::select! {
                biased;
                Some(incoming) = replier.next() => self.take(incoming, None),
                () = self.ledger.until_quiet() => break,
            }
        }
        // The last replies leave the process; who has called meanwhile is still told to call elsewhere.
        let settled = tokio::time::timeout(LAST_WORDS, replier.hang_up());
        tokio::pin!(settled);
        loop {
            tokio::select! {
                Some(incoming) = replier.next() => self.take(incoming, None),
                _ = &mut settled => break,
            }
        }
    }

    /// Takes a request; with a turn, what does not have to wait is done before this returns.
    fn take(&self, incoming: Incoming, turn: Option<&Turn<'_>>) {
        match self.accept(&incoming) {
            Accepted::Answer(reply, then) => {
                if then == Then::Drain {
                    // Before the reply: whoever has it finds no call accepted any more.
                    self.ledger.set_phase(Phase::Draining);
                    self.stop.send_replace(true);
                }
                incoming.reply(&reply);
            }
            Accepted::OfStream { asked, params, ttl } => asked.of(self.ledger.streams(), incoming, params, ttl),
            Accepted::Run { method, params, ticket, trail, pass } => {
                let (mut context, method) = (Context::new(&ticket, &self.home, trail), Arc::clone(method));
                if method.info.streams.is_some() {
                    context.opens_stream(Life::new(&method.tally, ticket.started()));
                }
                let (call, unread) = (Call { incoming, method, ticket }, Unread { params, context });
                let next = match (turn, pass) {
                    (Some(turn), Ok(pass)) => return call.run_here(unread, pass, turn, &self.runtime),
                    (None, Ok(pass)) => Next::Start(pass, unread),
                    (_, Err(waiting)) => Next::Wait(waiting, unread),
                };
                self.runtime.spawn(call.go_on(next));
            }
        }
    }

    fn accept(&self, incoming: &Incoming) -> Accepted<'_> {
        let request = match Request::decode(incoming.body()) {
            Ok(request) => request,
            Err(error @ CodecError::Version(_)) => return refuse(Code::Protocol, error.to_string()),
            Err(error) => return refuse(Code::BadMessage, error.to_string()),
        };
        if let Some(meant) = request.head.instance.filter(|meant| *meant != self.who.instance) {
            let message = format!("this is {}.{}, not {meant:.64}", self.who.name, self.who.instance);
            return refuse(Code::StaleInstance, message);
        }
        if let Some(asked) = Asked::named(request.head.method) {
            let params = request.params.range_in(incoming.body());
            return Accepted::OfStream { asked, params, ttl: request.head.ttl };
        }
        if request.head.method.starts_with('$') {
            let (reply, then) = builtin::answer(request.head.method, request.params, &self.who, &self.ledger);
            return Accepted::Answer(reply, then);
        }
        let trail = Trail::read(request.head.meta);
        if trail.is_too_deep() {
            return refuse(Code::BadMessage, format!("the call is nested in more than {MAX_CALL_DEPTH} others"));
        }
        if self.ledger.phase() == Phase::Draining {
            return refuse(Code::Draining, format!("{} is about to exit", self.who.name));
        }
        let Some(method) = self.methods.get(request.head.method) else {
            return refuse(Code::NoMethod, self.no_method(request.head.method));
        };
        let admitted = match trail.leads_through(&self.who.instance) {
            true => self.admission.admit_nested(),
            false => self.admission.admit(incoming.peer()),
        };
        let pass = match admitted {
            Admitted::Now(pass) => Ok(pass),
            Admitted::Waits(waiting) => Err(waiting),
            Admitted::Full => {
                method.tally.count(Some(Code::Busy), Duration::ZERO);
                return Accepted::Answer(Reply::encode_error(&self.admission.busy()), Then::Nothing);
            }
        };
        let ticket = self.ledger.begin(request.head.id, request.head.ttl);
        if ticket.cancel().is_told() {
            return refuse(Code::Cancelled, "the call was cancelled before it began".into());
        }
        let params = request.params.range_in(incoming.body());
        Accepted::Run { method, params, ticket, trail, pass }
    }

    fn no_method(&self, wrong: &str) -> String {
        let near = nearest(wrong, self.methods.keys().map(String::as_str)).join(", ");
        let meant = if near.is_empty() { String::new() } else { format!("; did you mean {near}?") };
        format!("{} has no method {wrong:.128?}{meant}", self.who.name)
    }
}

enum Accepted<'a> {
    Answer(Vec<u8>, Then),
    OfStream {
        asked: Asked,
        params: Option<Range<usize>>,
        ttl: Duration,
    },
    Run {
        method: &'a Arc<Method>,
        params: Option<Range<usize>>,
        ticket: Ticket,
        trail: Trail,
        /// Or what has to be waited for.
        pass: Result<Pass, Waiting>,
    },
}

fn refuse(code: Code, message: String) -> Accepted<'static> {
    Accepted::Answer(Reply::encode_error(&Fault::new(code, message)), Then::Nothing)
}

/// Serves a plugin that is the whole process.
pub(super) fn run_process(plugin: Plugin, environment: &Environment) -> Result<(), ServeError> {
    let runtime = runtime().map_err(|error| ServeError::System("start threads", error))?;
    let card = environment.own_bus.as_ref().map(|bus| (bus, own_card(&plugin, environment)));
    let served = runtime.block_on(async {
        // Before the endpoint exists: a plugin that can be found can be told to stop.
        let mut terminate = signal(SignalKind::terminate()).map_err(signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(signals)?;
        let Environment { name, instance, call, survey, bus, guests, .. } = environment;
        let server = plugin.start_on(bus, (name, instance), (call, guests), survey.as_ref())?;
        let stopper = server.stopper();
        if let (Some(presence), Some(patience)) = (server.presence.clone(), environment.orphan_timeout) {
            tokio::spawn(leave_when_orphaned(presence, patience, stopper.clone()));
        }
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            stopper.stop();
        });
        if let Some((bus, card)) = &card {
            announce(bus, card)?;
        }
        server.finished().await;
        Ok(())
    });
    if let Some((bus, card)) = &card {
        bus.sweep(&card.name, &card.instance);
    }
    // A plain function that outlived its caller's deadline must not keep the process.
    runtime.shutdown_background();
    served
}

async fn leave_when_orphaned(presence: watch::Receiver<bool>, patience: Duration, stopper: Stopper) {
    orphan::without_supervisor(presence, patience).await;
    // Whoever reads the output may be gone as well.
    let _ = writeln!(std::io::stderr(), "no supervisor for {patience:?}: leaving");
    stopper.stop();
}

fn signals(error: std::io::Error) -> ServeError {
    ServeError::System("listen to signals", error)
}

pub(super) fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Builder::new_multi_thread().worker_threads(cores.min(4)).enable_all().build()
}

fn own_card(plugin: &Plugin, environment: &Environment) -> Card {
    let info = plugin.info();
    Card {
        name: environment.name.clone(),
        instance: environment.instance.clone(),
        version: info.version,
        process: ProcessId::own(),
        protocol: PROTOCOL,
        protocol_max: None,
        url: environment.call.to_string(),
        methods: info.methods,
    }
}

/// Publishes the card of a plugin that was started by hand, and says so.
fn announce(bus: &BusDir, card: &Card) -> Result<(), ServeError> {
    bus.publish(card)?;
    let method = card.methods.first().map_or("$info", |method| method.name.as_str());
    // Nobody captures this output: it is the terminal of the one who tries the plugin.
    let _ = writeln!(
        std::io::stderr(),
        "{name} is on the bus at {path}, started by hand: nobody restarts it. Ctrl-C stops it; try\n  \
         plugbus call {name}.{method}",
        name = card.name,
        path = bus.path().display(),
    );
    Ok(())
}
