//! One call: find an instance, send it once, wait for the reply.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

mod answer;
mod text;
mod tried;

use self::answer::{Answer, Refused};
use self::tried::Tried;
use super::call_id::{self, CallId};
use super::discovery::{Age, Cards, SUPERVISOR, Target};
use super::links::Chosen;
use super::span::Traced;
use super::stream::{Reader, Writer};
use super::{Bus, CallError};
use crate::bus::{Card, LONGEST, RequestError};
use crate::wire::{Code, Fault, Protocols, Raw, RequestHead, Trail, from_slice};

/// What a call may take unless its caller says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A call in the making.
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is sent before `call`"]
pub struct Request<'a> {
    bus: &'a Bus,
    target: Target<'a>,
    timeout: Duration,
    trail: Option<&'a Trail>,
    waits: Waits,
}

/// Where a call waits for its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// In its future.
    Async,
    /// On the thread that polls it; its future is never pending.
    OnThread,
}

impl<'a> Request<'a> {
    pub(super) fn new(bus: &'a Bus, method: &'a str) -> Self {
        let target = Target { plugin: None, method, instance: None };
        Self { bus, target, timeout: TIMEOUT, trail: bus.origin.as_deref(), waits: Waits::Async }
    }

    /// To be waited for in its future.
    pub(super) fn in_future(mut self) -> Self {
        self.waits = Waits::Async;
        self
    }

    /// To be waited for on the thread that polls it.
    pub(super) fn on_thread(mut self) -> Self {
        self.waits = Waits::OnThread;
        self
    }

    /// Names the plugin; the method is then taken as it stands.
    pub fn plugin(mut self, name: &'a str) -> Self {
        self.target.plugin = Some(name);
        self
    }

    /// Names the one instance that may answer.
    pub fn instance(mut self, instance: &'a str) -> Self {
        self.target.instance = Some(instance);
        self
    }

    /// Sets the time the whole call may take, waiting for a restart included; five seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Says which call this one is nested in, and of which trace it is a part.
    pub fn trail(mut self, trail: &'a Trail) -> Self {
        self.trail = Some(trail);
        self
    }

    /// Sends the call and reads its result.
    ///
    /// # Errors
    /// [`CallError`]; its variants say what the caller can do.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the call; the method may have run.
    pub async fn call<R, P>(self, params: &P) -> Result<R, CallError>
    where
        R: DeserializeOwned,
        P: Serialize + ?Sized,
    {
        self.exchange(params).await?.value()?.read()
    }

    /// As [`call`](Self::call), but leaves the result as one MessagePack value.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    ///
    /// # Cancel safety
    /// As for [`call`](Self::call).
    pub async fn call_raw<P: Serialize + ?Sized>(self, params: &P) -> Result<Vec<u8>, CallError> {
        Ok(self.exchange(params).await?.value()?.result().to_vec())
    }

    /// Calls a method that gives its items one by one; one that gives a single value gives that.
    ///
    /// The timeout is for the answer to the call, and for each question for more items. The stream as a whole may take
    /// as long as it takes.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    ///
    /// # Cancel safety
    /// As for [`call`](Self::call).
    pub async fn stream<T, P: Serialize + ?Sized>(self, params: &P) -> Result<Reader<T>, CallError> {
        Ok(self.exchange(params).await?.reader())
    }

    /// Calls a method that takes its items one by one: they are written to one end, its result or items read from the
    /// other.
    ///
    /// # Errors
    /// As for [`call`](Self::call); [`CallError::Streams`] where the method takes no items.
    ///
    /// # Cancel safety
    /// As for [`call`](Self::call).
    pub async fn open<A: Serialize, T>(self) -> Result<(Writer<A>, Reader<T>), CallError> {
        match self.exchange(&()).await? {
            Answer { line: Some((line, true)), .. } => Ok((Writer::new(Arc::clone(&line)), Reader::new(line))),
            answer => {
                let plugin = answer.plugin.as_ref().into();
                drop(answer.reader::<T>());
                Err(CallError::Streams { plugin })
            }
        }
    }

    /// Carries the call out, as a span of a trace where there is one.
    async fn exchange<P: Serialize + ?Sized>(self, params: &P) -> Result<Answer, CallError> {
        let Some(Traced { trail, span }) = Traced::begin(self.trail, self.target) else {
            return self.carry_out(params).await;
        };
        // Apart, so that the future of a call that nobody traces does not grow by this one.
        Box::pin(Request { trail: Some(&trail), ..self }.carry_out(params).instrument(span)).await
    }

    /// Finds an instance that takes the call, and waits for its reply.
    async fn carry_out<P: Serialize + ?Sized>(self, params: &P) -> Result<Answer, CallError> {
        if self.trail.is_some_and(Trail::is_too_deep) {
            return Err(CallError::TooDeep);
        }
        let mut tried = Tried::default();
        let ended = self.attempts(params, &mut tried).await;
        match (ended, tried.died) {
            // What died before may have run, whatever was tried since.
            (Err(error), Some(died)) if !error.may_have_run() => Err(died),
            (ended, _) => ended,
        }
    }

    /// Sends it to one instance after the other until one takes it.
    async fn attempts<P: Serialize + ?Sized>(self, params: &P, tried: &mut Tried) -> Result<Answer, CallError> {
        let shared = &self.bus.shared;
        let (mut now, mut age) = (Instant::now(), Age::Recent);
        let deadline = now + self.timeout.min(LONGEST);
        loop {
            let cards = shared.discovery.cards(age, now)?;
            let target = self.target.resolve(&cards);
            let mut chosen = Chosen::only(target.candidates(&cards)).filter(|only| tried.may_take_it(only.card));
            if chosen.is_none() {
                let unambiguous = target.check_unambiguous(&cards);
                let candidates = target.candidates(&cards).filter(|card| tried.may_take_it(card));
                chosen = shared.links.least_busy(candidates)?;
                if age == Age::Recent && (unambiguous.is_err() || chosen.is_none()) {
                    // Before anybody is told so, or waits.
                    (now, age) = (Instant::now(), Age::Now);
                    continue;
                }
                unambiguous?;
            }
            let Some(chosen) = chosen else {
                if let Some(busy) = tried.busy.take() {
                    return Err(busy);
                }
                shared.discovery.forget();
                if !tried.late_again(&cards, &shared.links) {
                    self.wait_for_supervisor(target, &tried.not, deadline).await?;
                }
                now = Instant::now();
                continue;
            };
            match self.send(target.method, &chosen, params, (now, deadline)).await {
                Err(refused @ (Refused::Draining | Refused::NotSent)) => {
                    shared.discovery.forget();
                    match refused {
                        Refused::Draining => tried.draining(&chosen, &shared.links),
                        _ => tried.not_sent(&chosen, &shared.links),
                    }
                }
                Err(Refused::Busy(error)) => tried.busy(&chosen, &shared.links, error),
                Err(Refused::For(died @ CallError::Died { .. })) if chosen.card.repeats(target.method) => {
                    shared.discovery.forget();
                    tried.died(&chosen, died);
                }
                Err(Refused::For(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
            now = Instant::now();
        }
    }

    /// Sends the call to one instance, once.
    async fn send<P: Serialize + ?Sized>(
        &self,
        method: &str,
        Chosen { card, link }: &Chosen<'_>,
        params: &P,
        (now, deadline): (Instant, Instant),
    ) -> Result<Answer, Refused> {
        if card.protocols().common(Protocols::OWN).is_none() {
            return Err(CallError::Protocol { plugin: card.name.clone(), theirs: card.protocols() }.into());
        }
        let left = deadline.saturating_duration_since(now);
        let mut head = RequestHead::new(method, left);
        head.instance = Some(&card.instance);
        let meta = self.trail.and_then(Trail::write);
        head.meta = meta.as_deref().map(Raw::checked_before);
        // Only a future can be dropped: who waits on its thread needs no name to cancel a call by.
        let id = (self.waits == Waits::Async).then(|| self.bus.shared.call_ids.next());
        head.id = id.as_ref().map(CallId::as_str);
        let request = head.encode(params).map_err(CallError::Params)?;
        let counted = link.begin();
        let reply = match &id {
            Some(id) => link.requester.request_or_tell(&request, deadline, &|| call_id::cancel(id.as_str())).await,
            None => link.requester.request_blocking(&request, left),
        };
        drop(counted);
        match reply {
            Ok(body) => Answer::of(card, link, body, (self.timeout, self.waits)),
            Err(RequestError::NotSent) if Instant::now() >= deadline => Err(self.unreachable(card).into()),
            Err(RequestError::NotSent) => Err(Refused::NotSent),
            Err(error) => Err(self.failed(card, error).into()),
        }
    }

    fn unreachable(&self, card: &Card) -> CallError {
        let reason = format!("it did not take the call within {:?}", self.timeout);
        CallError::Unreachable { plugin: card.name.clone(), reason }
    }

    fn failed(&self, card: &Card, error: RequestError) -> CallError {
        let plugin = card.name.clone();
        match error {
            RequestError::TimedOut => CallError::Deadline { plugin, timeout: self.timeout },
            RequestError::Lost => {
                self.bus.shared.links.forget(&card.instance);
                CallError::Died { plugin, instance: card.instance.clone() }
            }
            RequestError::TooLarge(length) => CallError::TooLarge(length),
            error => CallError::Unreachable { plugin, reason: error.to_string() },
        }
    }

    /// Asks the supervisor, as an ordinary call, to answer once such an instance is ready.
    async fn wait_for_supervisor(
        &self,
        target: Target<'_>,
        not: &[String],
        deadline: Instant,
    ) -> Result<(), CallError> {
        let shared = &self.bus.shared;
        let cards = shared.discovery.cards(Age::Now, Instant::now())?;
        let known = Cards::new(cards.alive());
        if known.is_empty() {
            return Err(CallError::NoBus(self.bus.directory().path().into()));
        }
        if let Some(instance) = target.instance {
            // An instance never comes back, so there is nothing to wait for.
            let reason = format!("its instance {instance} is not on the bus");
            return Err(CallError::Unreachable { plugin: target.name(), reason });
        }
        let asked = Target { plugin: Some(SUPERVISOR), method: "wait", instance: None };
        let supervisor = match target.plugin {
            Some(SUPERVISOR) => None,
            _ => shared.links.least_busy(asked.candidates(&known))?,
        };
        let Some(supervisor) = supervisor else { return Err(target.missing(&known)) };
        let own = !target.method.starts_with('$');
        let wait = Wait { plugin: target.plugin, method: own.then_some(target.method), not };
        match self.send(asked.method, &supervisor, &wait, (Instant::now(), deadline)).await {
            Ok(_) if Instant::now() < deadline => Ok(()),
            Ok(_) | Err(Refused::For(CallError::Deadline { .. })) => Err(self.too_slow(target)),
            // Frozen or starved, perhaps for a moment only.
            Err(Refused::NotSent) if supervisor.card.process.is_alive() => Ok(()),
            Err(Refused::NotSent | Refused::Draining | Refused::For(CallError::Died { .. })) => {
                Err(target.missing(&known))
            }
            Err(Refused::For(CallError::Unreachable { reason, .. })) => {
                let reason = format!("it is not there, and the supervisor cannot be asked for it: {reason}");
                Err(CallError::Unreachable { plugin: target.name(), reason })
            }
            Err(Refused::For(CallError::Plugin { fault, .. })) => Err(self.no_use(target, &known, fault)),
            Err(Refused::Busy(error) | Refused::For(error)) => Err(error),
        }
    }

    /// Why the supervisor says that waiting is of no use.
    fn no_use(&self, target: Target<'_>, known: &Cards, fault: Fault) -> CallError {
        let why: NoUse = fault.data.as_deref().and_then(|data| from_slice(data).ok()).unwrap_or_default();
        match (why.kind.as_str(), target.missing(known)) {
            ("unknown_plugin", CallError::NoSuchPlugin { name, nearest }) if nearest.is_empty() => {
                CallError::NoSuchPlugin { name, nearest: why.nearest }
            }
            ("unknown_method", CallError::NoSuchMethod { method, nearest }) if nearest.is_empty() => {
                CallError::NoSuchMethod { method, nearest: why.nearest }
            }
            ("unknown_plugin" | "unknown_method", missing) => missing,
            _ if fault.code == Code::Deadline => self.too_slow(target),
            _ => CallError::Unreachable { plugin: target.name(), reason: fault.message },
        }
    }

    fn too_slow(&self, target: Target<'_>) -> CallError {
        let reason = format!("it is being restarted and was not ready within {:?}", self.timeout);
        CallError::Unreachable { plugin: target.name(), reason }
    }
}

/// What the supervisor's method `wait` takes.
#[derive(Serialize)]
struct Wait<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    not: &'a [String],
}

/// What it says where waiting is of no use.
#[derive(Default, Deserialize)]
#[serde(default)]
struct NoUse {
    kind: String,
    nearest: Vec<String>,
}
