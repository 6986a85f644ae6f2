//! Which calls run, which wait, and whose turn is next.
//!
//! As long as nobody waits, being let in is one number counted down. Those that wait stand in a line for each caller,
//! and the callers have their turns one after the other: a thousand calls of one delay another's by one call. Where the
//! room is full, a caller with few calls gets the place of the newest call of the one that has most; that call was not
//! begun and is told `busy`, as it would have been had it come later.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::oneshot;

use crate::bus::Peer;
use crate::wire::{Code, Fault, MAX_CALL_DEPTH, to_vec};

/// How many calls a plugin takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Limits {
    /// That run.
    pub(super) concurrency: usize,
    /// That wait for their turn.
    pub(super) queue: usize,
}

impl Limits {
    /// How many calls may run beyond these, each as a part of one that runs here already.
    ///
    /// They must not wait for it. As many as run may each have made one, and one may be as deep as calls may be.
    pub(super) fn beyond(self) -> usize {
        self.concurrency.max(MAX_CALL_DEPTH as usize)
    }
}

/// Lets calls in, as many as may run.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    /// Calls that could run now.
    free: AtomicUsize,
    /// Calls that could run beyond those.
    beyond: AtomicUsize,
    /// Somebody waits: what becomes free is handed on.
    queued: AtomicBool,
    queue: Mutex<Queue>,
}

/// What a call is told that wants to run.
#[derive(Debug)]
pub(super) enum Admitted {
    Now(Pass),
    Waits(Waiting),
    /// Neither is possible.
    Full,
}

/// Lets one call run; whoever waits longest gets it next.
#[derive(Debug)]
pub(super) struct Pass {
    admission: Arc<Admission>,
    beyond: bool,
}

/// A place in the line.
#[derive(Debug)]
pub(super) struct Waiting {
    admission: Arc<Admission>,
    caller: Caller,
    number: u64,
    called: oneshot::Receiver<Pass>,
}

/// Who calls: more connections do not give a process more turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Process(u32),
    /// Of a process that the transport cannot name, one in another container for instance.
    Connection(u32),
}

impl Caller {
    fn of(peer: Peer) -> Self {
        peer.pid.filter(|pid| *pid != 0).map_or(Self::Connection(peer.connection), Self::Process)
    }
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let (free, queued) = (AtomicUsize::new(limits.concurrency), AtomicBool::new(false));
        let beyond = AtomicUsize::new(limits.beyond());
        Arc::new(Self { limits, free, beyond, queued, queue: Mutex::default() })
    }

    /// Lets a call of that peer in, or says where it waits.
    pub(super) fn admit(self: &Arc<Self>, peer: Peer) -> Admitted {
        if !self.queued.load(Ordering::SeqCst)
            && let Some(pass) = self.try_pass()
        {
            return Admitted::Now(pass);
        }
        self.line_up(Caller::of(peer))
    }

    /// Lets a call in that is a part of one that runs here, and would wait for itself.
    pub(super) fn admit_nested(self: &Arc<Self>) -> Admitted {
        match self.try_pass().or_else(|| self.try_beyond()) {
            Some(pass) => Admitted::Now(pass),
            None => Admitted::Full,
        }
    }

    /// What callers are told that cannot even wait.
    pub(super) fn busy(&self) -> Fault {
        let Limits { concurrency, queue } = self.limits;
        let message = format!("it runs {concurrency} calls at once and lets {queue} wait, it takes no more now");
        Fault { data: to_vec(&self.limits).ok(), ..Fault::new(Code::Busy, message) }
    }

    fn line_up(self: &Arc<Self>, caller: Caller) -> Admitted {
        let mut queue = self.lock();
        self.queued.store(true, Ordering::SeqCst);
        // One may have become free before it could be seen that somebody waits.
        let pass = if queue.waiting == 0 { self.try_pass() } else { None };
        let admitted = match pass {
            Some(pass) => Admitted::Now(pass),
            None if queue.waiting < self.limits.queue || queue.make_room(caller) => {
                let (number, called) = queue.push(caller);
                Admitted::Waits(Waiting { admission: Arc::clone(self), caller, number, called })
            }
            None => Admitted::Full,
        };
        self.queued.store(queue.waiting > 0, Ordering::SeqCst);
        admitted
    }

    // To be dropped without the lock, where it is.
    fn try_pass(self: &Arc<Self>) -> Option<Pass> {
        take_one(&self.free).then(|| Pass { admission: Arc::clone(self), beyond: false })
    }

    fn try_beyond(self: &Arc<Self>) -> Option<Pass> {
        take_one(&self.beyond).then(|| Pass { admission: Arc::clone(self), beyond: true })
    }

    /// Hands what is free to whoever is next.
    fn hand_on(self: &Arc<Self>) {
        if !self.queued.load(Ordering::SeqCst) {
            return;
        }
        let mut queue = self.lock();
        let pass = if queue.waiting > 0 { self.try_pass() } else { None };
        let next = pass.map(|pass| (queue.next(), pass));
        self.queued.store(queue.waiting > 0, Ordering::SeqCst);
        drop(queue);
        if let Some((Some(waiter), pass)) = next {
            // Whoever has left meanwhile gives it back at once, and it is handed on from there.
            let _ = waiter.call.send(pass);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts down, where there is anything left.
fn take_one(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.beyond {
            self.admission.beyond.fetch_add(1, Ordering::SeqCst);
        } else {
            self.admission.free.fetch_add(1, Ordering::SeqCst);
            self.admission.hand_on();
        }
    }
}

impl Waiting {
    /// Waits for its turn; the fault is for one that lost its place to another caller.
    pub(super) async fn turn(mut self) -> Result<Pass, Fault> {
        (&mut self.called).await.map_err(|_| self.admission.busy())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut queue = self.admission.lock();
        queue.remove(self.caller, self.number);
        self.admission.queued.store(queue.waiting > 0, Ordering::SeqCst);
    }
}

/// The lines of all callers, the one whose turn is next in front.
#[derive(Debug, Default)]
struct Queue {
    waiting: usize,
    numbers: u64,
    /// None of them is empty.
    lines: VecDeque<(Caller, VecDeque<Waiter>)>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    call: oneshot::Sender<Pass>,
}

impl Queue {
    fn push(&mut self, caller: Caller) -> (u64, oneshot::Receiver<Pass>) {
        let (call, called) = oneshot::channel();
        self.numbers += 1;
        let waiter = Waiter { number: self.numbers, call };
        match self.lines.iter_mut().find(|(of, _)| *of == caller) {
            Some((_, line)) => line.push_back(waiter),
            None => self.lines.push_back((caller, [waiter].into())),
        }
        self.waiting += 1;
        (self.numbers, called)
    }

    /// Whoever has waited longest of the caller whose turn it is.
    fn next(&mut self) -> Option<Waiter> {
        let (caller, mut line) = self.lines.pop_front()?;
        let next = line.pop_front();
        if !line.is_empty() {
            self.lines.push_back((caller, line));
        }
        self.waiting -= 1;
        next
    }

    /// Sends away the newest call of the caller with most of them; only for one that has at least two less.
    fn make_room(&mut self, caller: Caller) -> bool {
        let own = self.lines.iter().find(|(of, _)| *of == caller).map_or(0, |(_, line)| line.len());
        let longest = self.lines.iter_mut().map(|(_, line)| line).max_by_key(|line| line.len());
        let Some(longest) = longest.filter(|line| line.len() > own + 1) else { return false };
        // Its sender is dropped: that is how it learns.
        longest.pop_back();
        self.waiting -= 1;
        true
    }

    fn remove(&mut self, caller: Caller, number: u64) {
        let Some(at) = self.lines.iter().position(|(of, _)| *of == caller) else { return };
        let line = &mut self.lines[at].1;
        let Some(place) = line.iter().position(|waiter| waiter.number == number) else { return };
        line.remove(place);
        if line.is_empty() {
            self.lines.remove(at);
        }
        self.waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    fn peer(pid: u32) -> Peer {
        Peer { connection: 7, pid: Some(pid), uid: None }
    }

    fn admission(concurrency: usize, queue: usize) -> Arc<Admission> {
        Admission::new(Limits { concurrency, queue })
    }

    fn waits(admission: &Arc<Admission>, pid: u32) -> Waiting {
        match admission.admit(peer(pid)) {
            Admitted::Waits(waiting) => waiting,
            other => panic!("{other:?}"),
        }
    }

    fn is_called(waiting: &Waiting) -> bool {
        !waiting.called.is_empty()
    }

    #[test]
    fn a_part_of_a_call_that_runs_does_not_wait_for_it() {
        let admission = admission(1, 1);
        let Admitted::Now(outer) = admission.admit(peer(1)) else { panic!("one may run") };
        let next = waits(&admission, 1);
        let nested = || match admission.admit_nested() {
            Admitted::Now(pass) => pass,
            other => panic!("{other:?}"),
        };
        let parts: Vec<Pass> = (0..MAX_CALL_DEPTH).map(|_| nested()).collect();
        assert!(matches!(admission.admit_nested(), Admitted::Full));
        drop(parts);
        assert!(!is_called(&next), "the room beyond is for parts of calls alone");
        drop(nested());
        drop(outer);
        assert!(is_called(&next));
    }

    #[test]
    fn as_many_run_and_wait_as_may() {
        let admission = admission(2, 1);
        let (Admitted::Now(first), Admitted::Now(_second)) = (admission.admit(peer(1)), admission.admit(peer(1)))
        else {
            panic!("two may run");
        };
        let third = waits(&admission, 1);
        assert!(matches!(admission.admit(peer(1)), Admitted::Full));
        assert!(!is_called(&third));
        drop(first);
        assert!(is_called(&third));
        drop(third);
        assert!(matches!(admission.admit(peer(1)), Admitted::Now(_)));
    }

    #[test]
    fn callers_have_their_turns_one_after_the_other() {
        let admission = admission(1, 10);
        let Admitted::Now(mut pass) = admission.admit(peer(1)) else { panic!("one may run") };
        let mut of_many: Vec<_> = (0..3).map(|_| waits(&admission, 1)).collect();
        let mut of_few = vec![waits(&admission, 2), waits(&admission, 3)];
        let mut order = Vec::new();
        while !(of_many.is_empty() && of_few.is_empty()) {
            drop(pass);
            let mut all = of_many.iter().chain(&of_few);
            let called = all.find(|waiting| is_called(waiting)).expect("somebody is called").number;
            order.push(called);
            let take = |from: &mut Vec<Waiting>| {
                let at = from.iter().position(|waiting| waiting.number == called)?;
                Some(from.remove(at).called.try_recv().unwrap())
            };
            pass = take(&mut of_many).or_else(|| take(&mut of_few)).unwrap();
        }
        assert_eq!(order, [1, 4, 5, 2, 3]);
    }

    #[test]
    fn who_has_most_makes_room() {
        let admission = admission(1, 4);
        let Admitted::Now(_running) = admission.admit(peer(1)) else { panic!("one may run") };
        let mut flood: Vec<_> = (0..4).map(|_| waits(&admission, 1)).collect();
        assert!(matches!(admission.admit(peer(1)), Admitted::Full));
        let mut few = vec![waits(&admission, 2), waits(&admission, 2)];
        let lost = |of: &mut Vec<Waiting>| -> Vec<bool> {
            of.iter_mut().map(|one| matches!(one.called.try_recv(), Err(TryRecvError::Closed))).collect()
        };
        assert_eq!((lost(&mut flood), lost(&mut few)), (vec![false, false, true, true], vec![false, false]));
        // Now both have the same.
        assert!(matches!(admission.admit(peer(2)), Admitted::Full));
        assert!(matches!(admission.admit(peer(1)), Admitted::Full));
        assert_eq!(admission.lock().waiting, 4);
        drop((flood, few));
        assert_eq!(format!("{:?}", admission.lock().lines), "[]");
        assert_eq!(admission.lock().waiting, 0);
        assert!(!admission.queued.load(Ordering::SeqCst));
    }

    #[test]
    fn no_pass_is_lost_or_made_among_threads() {
        let admission = admission(3, 8);
        std::thread::scope(|scope| {
            for pid in 1..=6 {
                let admission = &admission;
                scope.spawn(move || {
                    for round in 0..2000 {
                        match admission.admit(peer(pid)) {
                            Admitted::Now(pass) => drop(pass),
                            Admitted::Waits(waiting) if round % 3 == 0 => drop(waiting),
                            Admitted::Waits(waiting) => drop(crate::bus::block_on(waiting.turn())),
                            Admitted::Full => {}
                        }
                    }
                });
            }
        });
        assert_eq!((admission.free.load(Ordering::SeqCst), admission.lock().waiting), (3, 0));
    }

    #[test]
    fn the_limits_are_told() {
        let fault = admission(2, 1).busy();
        assert_eq!(fault.to_string(), "busy: it runs 2 calls at once and lets 1 wait, it takes no more now");
        assert_eq!(fault.data_json().as_deref(), Some(r#"{"concurrency":2,"queue":1}"#));
    }
}
