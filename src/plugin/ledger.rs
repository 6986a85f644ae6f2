//! The calls that run, and the counters that surveys ask for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::call_name::CallName;
use super::cancel::{Cancel, Early};
use super::stream::Streams;
use super::tally::Tally;
use crate::wire::{Load, Phase, Stats};

/// What the plugin is doing; read by the survey thread while calls come and go.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    running: Mutex<BTreeMap<u64, Running>>,
    next: AtomicU64,
    streams: Streams,
    /// How many of what runs are streams.
    open_streams: AtomicUsize,
    plugin: String,
    /// What is counted of each method.
    tallies: Vec<(String, Arc<Tally>)>,
    beat: AtomicU64,
    phase: AtomicU8,
    /// Somebody waits for that.
    wanted_quiet: AtomicBool,
    quiet: Notify,
    early: Early,
}

#[derive(Debug)]
struct Running {
    started: Instant,
    /// `None` for a stream: it may go on for as long as somebody asks for it.
    deadline: Option<Instant>,
    id: Option<CallName>,
    cancel: Cancel,
}

impl Ledger {
    pub(super) fn of(plugin: &str, tallies: Vec<(String, Arc<Tally>)>) -> Self {
        Self { plugin: plugin.to_owned(), tallies, ..Self::default() }
    }

    /// The name of the plugin whose calls these are.
    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Notes that a call was accepted; it is over when the ticket is dropped.
    pub(super) fn begin(self: &Arc<Self>, id: Option<&str>, ttl: Duration) -> Ticket {
        let started = Instant::now();
        self.enter(started, Some(started + ttl), id)
    }

    /// Notes that a stream was opened; `None` where as many are open as may be.
    pub(super) fn begin_stream(self: &Arc<Self>, most: usize) -> Option<Ticket> {
        let more = |open| (open < most).then_some(open + 1);
        self.open_streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        let mut ticket = self.enter(Instant::now(), None, None);
        ticket.begins();
        Some(ticket)
    }

    fn enter(self: &Arc<Self>, started: Instant, deadline: Option<Instant>, id: Option<&str>) -> Ticket {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let cancel = Cancel::default();
        let call = Running { started, deadline, id: id.map(CallName::from), cancel: cancel.clone() };
        let mut running = self.lock();
        running.insert(number, call);
        // Under the lock: a cancellation either finds the call or is found by it.
        if id.is_some_and(|id| self.early.takes(id, started)) {
            cancel.tell();
        }
        drop(running);
        let is_stream = deadline.is_none();
        let deadline = deadline.unwrap_or(started);
        Ticket { ledger: Arc::clone(self), number, cancel, started, deadline, is_stream, begun: false }
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Says that the plugin gets somewhere.
    pub(super) fn beat(&self) {
        self.beat.fetch_add(1, Ordering::Relaxed);
    }

    /// Tells the calls of that id to stop; whether there was one.
    pub(super) fn cancel(&self, id: &str) -> bool {
        let running = self.lock();
        let mut found = false;
        for call in running.values().filter(|call| call.id.as_ref().is_some_and(|name| name.is(id))) {
            call.cancel.tell();
            found = true;
        }
        if !found {
            self.early.note(id);
        }
        found
    }

    pub(super) fn load(&self) -> Load {
        let running = self.lock();
        let now = Instant::now();
        // A stream that is open grows old and is past nothing.
        let oldest = running.values().find(|call| call.deadline.is_some()).map(|call| call.started);
        let overdue = running.values().filter_map(|call| call.deadline).min();
        Load {
            in_flight: running.len() as u64,
            oldest_ms: millis_since(oldest, now),
            overdue_ms: millis_since(overdue, now),
            done: self.tallies.iter().map(|(_, tally)| tally.done()).sum(),
            failed: self.tallies.iter().map(|(_, tally)| tally.failed()).sum(),
            beat: self.beat.load(Ordering::Relaxed),
        }
    }

    /// The same, and what is counted of each method.
    pub(super) fn stats(&self) -> Stats {
        let methods = self.tallies.iter().filter_map(|(name, tally)| Some((name.clone(), tally.stats()?)));
        Stats {
            load: self.load(),
            methods: methods.collect(),
            refused_connections: crate::bus::refused_connections(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Starting,
            1 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        let phase = match phase {
            Phase::Starting => 0,
            Phase::Ready => 1,
            Phase::Draining => 2,
        };
        // Before the streams are told: one that is opened meanwhile looks at it.
        self.phase.store(phase, Ordering::SeqCst);
        if phase == 2 {
            self.streams.drain();
        }
    }

    /// Waits until no call runs.
    pub(super) async fn until_quiet(&self) {
        // Before the look at what runs: a call that ends after that look sees it.
        self.wanted_quiet.store(true, Ordering::SeqCst);
        loop {
            // Registered before the look, so that a call that ends in between is not missed.
            let quiet = self.quiet.notified();
            if self.lock().is_empty() {
                return;
            }
            quiet.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis_since(then: Option<Instant>, now: Instant) -> u64 {
    let time = then.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
    time.as_millis().try_into().unwrap_or(u64::MAX)
}

/// A call that was accepted, for as long as it waits or its code runs.
#[derive(Debug)]
pub(super) struct Ticket {
    ledger: Arc<Ledger>,
    number: u64,
    cancel: Cancel,
    started: Instant,
    deadline: Instant,
    is_stream: bool,
    begun: bool,
}

impl Ticket {
    /// When its request was taken.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// When its caller stops waiting.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Notes that the call's own code is begun.
    ///
    /// A call that only waits for its turn moves no beat: callers who try a wedged plugin again and again would
    /// otherwise make it look as if it got somewhere.
    pub(super) fn begins(&mut self) {
        if !std::mem::replace(&mut self.begun, true) {
            self.ledger.beat();
        }
    }

    pub(super) fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    pub(super) fn beat(&self) {
        self.ledger.beat();
    }

    /// Whether the plugin is.
    pub(super) fn is_draining(&self) -> bool {
        self.ledger.phase() == Phase::Draining
    }

    /// Notes that nobody waits for the stream any more: its code is past its time from now on.
    pub(super) fn is_due(&self) {
        if let Some(running) = self.ledger.lock().get_mut(&self.number) {
            running.deadline = Some(Instant::now());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancel.end();
        let mut running = self.ledger.lock();
        running.remove(&self.number);
        if self.is_stream {
            self.ledger.open_streams.fetch_sub(1, Ordering::Relaxed);
        }
        let quiet = running.is_empty();
        drop(running);
        if self.begun {
            self.ledger.beat();
        }
        if quiet && self.ledger.wanted_quiet.load(Ordering::SeqCst) {
            self.ledger.quiet.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Code;

    #[test]
    fn the_ledger_knows_what_runs() {
        let tally = Arc::new(Tally::default());
        let ledger = Arc::new(Ledger::of("p", vec![("a".into(), Arc::clone(&tally))]));
        let long = Duration::from_secs(60);
        let (mut a, mut b) = (ledger.begin(Some("a"), long), ledger.begin(None, long));
        a.begins();
        b.begins();
        b.begins();
        assert_eq!((ledger.load().in_flight, ledger.load().beat, ledger.load().overdue_ms), (2, 2, 0));
        assert!(!ledger.cancel("b"));
        assert!(ledger.cancel("a") && a.cancel().is_told() && !b.cancel().is_told());
        drop((a, b));
        tally.count(None, Duration::ZERO);
        tally.count(Some(Code::Failed), Duration::ZERO);
        let load = ledger.load();
        assert_eq!((load.in_flight, load.oldest_ms, load.beat, load.done, load.failed), (0, 0, 4, 1, 1));
    }

    #[test]
    fn who_waits_for_a_turn_moves_nothing_and_who_is_past_its_deadline_is_known() {
        let ledger = Arc::new(Ledger::default());
        drop(ledger.begin(None, Duration::ZERO));
        let (_young, _old) = (ledger.begin(None, Duration::from_secs(60)), ledger.begin(None, Duration::ZERO));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(3) {}
        let load = ledger.load();
        assert_eq!((load.beat, load.in_flight), (0, 2));
        assert!(load.overdue_ms >= 3 && load.overdue_ms <= load.oldest_ms, "{load:?}");
    }

    #[tokio::test]
    async fn it_is_quiet_when_the_last_call_ends() {
        let ledger = Arc::new(Ledger::default());
        ledger.until_quiet().await;
        let ticket = ledger.begin(None, Duration::ZERO);
        let waits = Arc::clone(&ledger);
        let waiting = tokio::spawn(async move { waits.until_quiet().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(ticket);
        waiting.await.unwrap();
    }
}
