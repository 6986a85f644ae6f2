//! One open stream: its items, who waits for them, and its end.
//!
//! Nobody runs it. The method's code waits where there is no room, `$next` where there is no item, `$put` where there
//! is no room either; whoever changes something answers those whom that concerns. Only what time or the caller's
//! departure brings about is done by a task (`keeper`).

mod code;

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Life;
use super::inbound::Inbound;
use super::keeper::Closer;
use super::outbound::Outbound;
use crate::bus::Incoming;
use crate::plugin::cancel::Cancel;
use crate::plugin::ledger::{Ledger, Ticket};
use crate::wire::{Code, Fault, IDLE, MAX_TTL, Next, Put, Raw, Reply, Taken};

/// An open stream, shared by its method, its callers' requests and its keeper.
#[derive(Debug)]
pub struct Line {
    pub(super) id: String,
    state: Mutex<State>,
    /// For code that waits on a thread, and for code that waits as a task.
    changed: (Condvar, Notify),
    /// Has the keeper look at the time anew.
    pub(super) poke: Notify,
    pub(super) cancel: Cancel,
    life: Arc<Life>,
    /// Knows it by its id; not held by it, for the ledger holds the stream.
    ledger: Weak<Ledger>,
}

#[derive(Debug)]
pub(super) struct State {
    out: Outbound,
    pub(super) input: Inbound,
    pub(super) asks: Option<Asks>,
    pub(super) puts: Option<Puts>,
    /// The method waits for room, or for an item.
    code_waits: bool,
    /// Nothing more is to be done: the end was told, or somebody closed it.
    pub(super) over: bool,
    /// It does not end by itself, so that draining has to end it.
    endless: bool,
    /// How long its caller had to wait for something to come.
    first: Option<Duration>,
    ticket: Option<Arc<Ticket>>,
    keep: Duration,
    /// When it has been left alone for too long; once it is over, when it is forgotten.
    pub(super) idle_at: Instant,
    pub(super) keeper_wakes: Instant,
}

/// A `$next` that waits for an item.
#[derive(Debug)]
pub(super) struct Asks {
    pub(super) incoming: Incoming,
    max: Option<u64>,
    bytes: Option<u64>,
    pub(super) until: Instant,
}

/// A `$put` that waits for room.
#[derive(Debug)]
pub(super) struct Puts {
    pub(super) incoming: Incoming,
    params: Range<usize>,
    pub(super) until: Instant,
}

/// A reply that is sent once the state is free again.
pub(super) struct Answer(Incoming, Vec<u8>);

pub(super) fn send(answers: impl IntoIterator<Item = Option<Answer>>) {
    for Answer(incoming, reply) in answers.into_iter().flatten() {
        incoming.reply(&reply);
    }
}

fn refusal(incoming: Incoming, code: Code, message: impl Into<String>) -> Answer {
    Answer(incoming, Reply::encode_error(&Fault::new(code, message)))
}

impl Line {
    pub(super) fn new(id: String, life: Arc<Life>, ledger: &Arc<Ledger>, ticket: &Arc<Ticket>) -> Self {
        let now = Instant::now();
        let state = State {
            out: Outbound::default(),
            input: Inbound::default(),
            asks: None,
            puts: None,
            code_waits: false,
            over: false,
            endless: false,
            first: None,
            ticket: Some(Arc::clone(ticket)),
            keep: IDLE,
            idle_at: now + IDLE,
            keeper_wakes: now,
        };
        let (changed, poke) = (Default::default(), Notify::new());
        let (cancel, ledger) = (ticket.cancel(), Arc::downgrade(ledger));
        Self { id, state: Mutex::new(state), changed, poke, cancel, life, ledger }
    }

    /// How many items the method may be ahead.
    pub(super) fn set_ahead(&self, items: usize) {
        self.lock().out.set_ahead(items);
    }

    /// Notes that only draining ends it.
    pub(super) fn set_endless(&self) {
        let mut state = self.lock();
        state.endless = true;
        // Draining may have begun before this could be known.
        let draining = state.ticket.as_ref().is_some_and(|ticket| ticket.is_draining());
        drop(state);
        if draining {
            self.drain();
        }
    }

    /// Has it end where it would not by itself; its caller sees an ordinary end.
    pub(super) fn drain(&self) {
        if self.lock().endless {
            self.finish(Ok(()));
            self.cancel.tell();
        }
    }

    pub(super) fn forget(&self) {
        if let Some(ledger) = self.ledger.upgrade() {
            ledger.streams().forget(&self.id);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_code(&self, state: &mut State) {
        if std::mem::take(&mut state.code_waits) {
            self.changed.0.notify_all();
            self.changed.1.notify_waiters();
        }
    }

    /// Has the keeper know of an earlier time than the one it sleeps to.
    fn remind(&self, state: &mut State, until: Instant) {
        if until < state.keeper_wakes {
            state.keeper_wakes = until;
            self.poke.notify_one();
        }
    }

    fn touch(&self, state: &mut State, keep_ms: Option<u64>) {
        if state.over {
            return;
        }
        if let Some(keep) = keep_ms {
            state.keep = Duration::from_millis(keep).min(MAX_TTL);
        }
        state.idle_at = Instant::now() + state.keep;
        self.remind(state, state.idle_at);
    }
}

/// What its caller asks for.
impl Line {
    /// `$next`: answers with what there is, or once there is something.
    pub(super) fn next(&self, incoming: Incoming, asked: &Next<'_>, until: Instant) {
        let (from, max, bytes, keep) = (asked.from, asked.max, asked.bytes, asked.keep_ms);
        let mut state = self.lock();
        self.touch(&mut state, keep);
        let mut answers: [Option<Answer>; 2] = [None, None];
        // One at a time: the caller has stopped waiting for the one before.
        let before = state.asks.take();
        answers[0] = before.map(|asks| refusal(asks.incoming, Code::Cancelled, "another $next has come after it"));
        answers[1] = match state.out.turn_to(from) {
            Err(next) => Some(refusal(incoming, Code::BadParams, format!("item {next} is next, and none before it"))),
            Ok(true) => Some(self.batch(&mut state, incoming)),
            Ok(false) => {
                state.asks = Some(Asks { incoming, max, bytes, until });
                let answer = if max == Some(0) { self.answer_now(&mut state) } else { self.answer_next(&mut state) };
                if answer.is_none() {
                    self.remind(&mut state, until);
                }
                answer
            }
        };
        drop(state);
        send(answers);
    }

    /// Answers the `$next` that waits, where there is anything to tell.
    fn answer_next(&self, state: &mut State) -> Option<Answer> {
        if state.out.has_news() { self.answer_now(state) } else { None }
    }

    pub(super) fn answer_now(&self, state: &mut State) -> Option<Answer> {
        let asks = state.asks.take()?;
        state.out.take(asks.max, asks.bytes);
        state.idle_at = Instant::now() + state.keep;
        if state.out.has_much_room() {
            self.wake_code(state);
        }
        Some(self.batch(state, asks.incoming))
    }

    fn batch(&self, state: &mut State, incoming: Incoming) -> Answer {
        let (reply, end) = state.out.reply();
        if end && !state.over {
            self.is_over(state, None);
            // Kept for a while: the last reply may be lost, too.
            state.idle_at = Instant::now() + state.keep.min(IDLE);
            if let Some(ledger) = self.ledger.upgrade() {
                ledger.streams().linger(&self.id);
            }
        }
        Answer(incoming, reply)
    }

    /// Notes that nothing more is to be done, and counts it: as what its code says, else as that.
    fn is_over(&self, state: &mut State, else_as: Option<Code>) -> Option<Arc<Ticket>> {
        state.over = true;
        let error = state.out.outcome().map_or(else_as, |outcome| outcome.as_ref().err().map(|fault| fault.code));
        self.life.count(error, state.first);
        state.code_waits = true;
        self.wake_code(state);
        self.poke.notify_one();
        state.ticket.take()
    }

    /// `$put`: takes what there is room for, or waits until there is some.
    pub(super) fn put(&self, incoming: Incoming, params: Range<usize>, until: Instant) {
        let mut state = self.lock();
        let before = state.puts.replace(Puts { incoming, params, until });
        let before = before.map(|puts| refusal(puts.incoming, Code::Cancelled, "another $put has come after it"));
        self.touch(&mut state, None);
        let answer = self.answer_put(&mut state);
        if answer.is_none() {
            self.remind(&mut state, until);
        }
        drop(state);
        send([before, answer]);
    }

    /// Answers the `$put` that waits, where something of it could be taken.
    fn answer_put(&self, state: &mut State) -> Option<Answer> {
        let Puts { incoming, params, until } = state.puts.take()?;
        let raw = incoming.body().get(params.clone()).map_or(Raw::NIL, Raw::checked_before);
        let put = match Put::read(raw) {
            Ok(put) => put,
            Err(error) => {
                return Some(refusal(incoming, Code::BadParams, format!("$put takes {{stream, items}}: {error}")));
            }
        };
        if let Some(keep) = put.keep_ms {
            state.keep = Duration::from_millis(keep).min(MAX_TTL);
            state.idle_at = Instant::now() + state.keep;
        }
        if state.over || state.out.has_ended() {
            let taken = Taken { credit: 0, end: true, ..state.input.taken() };
            return Some(taken_reply(incoming, &taken));
        }
        match state.input.offer(&put) {
            Err(fault) => Some(Answer(incoming, Reply::encode_error(&fault))),
            Ok(Some(taken)) => {
                self.wake_code(state);
                Some(taken_reply(incoming, &taken))
            }
            Ok(None) => {
                state.puts = Some(Puts { incoming, params, until });
                None
            }
        }
    }

    /// Ends the stream from the caller's side: nobody wants the rest. Whether it was open.
    pub(super) fn close(&self, by: Closer) -> bool {
        self.forget();
        let mut state = self.lock();
        state.idle_at = Instant::now();
        if state.over {
            self.poke.notify_one();
            return false;
        }
        let gone = |incoming| refusal(incoming, Code::Cancelled, by.why());
        let asks = state.asks.take().map(|asks| gone(asks.incoming));
        let puts = state.puts.take().map(|puts| gone(puts.incoming));
        if let Some(ticket) = self.is_over(&mut state, by.counts_as()) {
            // Its code may go on: from now on that counts as a call that nobody waits for.
            ticket.is_due();
        }
        drop(state);
        self.cancel.tell();
        send([asks, puts]);
        true
    }
}

impl State {
    /// Whether its code need not go on.
    fn has_ended(&self) -> bool {
        self.over || self.out.has_ended()
    }
}

pub(super) fn taken_reply(incoming: Incoming, taken: &Taken) -> Answer {
    // Two numbers and a truth value: they serialise.
    Answer(incoming, Reply::encode_result(taken).unwrap_or_default())
}
