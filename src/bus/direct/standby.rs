//! The thread of a crew that stands by, and its alarm clock.
//!
//! While requests run it looks each millisecond whether a worker is still in the one it was in; then it takes
//! that worker's connection and its place. While nothing runs it sleeps until some peer's time is over.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime};

use super::connection::Connection;
use super::crew::{Crew, Worker};
use super::{lock, socket};

/// How often it looks while requests run; one that is in sight twice takes long. Each look costs whoever has the
/// core some 30 µs: at 500 µs that was the p99 of short calls.
const LOOK: Duration = Duration::from_millis(1);

/// How long nobody is accepted after that failed: as long as NNG does.
pub(super) const LISTENER_PAUSE: Duration = Duration::from_millis(100);

/// Wakes the one who stands by. A timer of the kernel: to set it wakes nobody.
#[derive(Debug)]
pub(super) struct Alarm {
    timer: OwnedFd,
    /// Set to the next look.
    ticking: AtomicBool,
    schedule: Mutex<BTreeSet<(Instant, u64)>>,
}

impl Alarm {
    pub(super) fn new() -> Result<Self, Errno> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        Ok(Self { timer, ticking: AtomicBool::new(false), schedule: Mutex::default() })
    }

    /// A request runs: somebody is to look at it.
    pub(super) fn tick(&self) {
        if !self.ticking.load(Ordering::SeqCst) {
            // The lock keeps the timer from being set otherwise in between.
            let schedule = lock(&self.schedule);
            self.ticking.store(true, Ordering::SeqCst);
            self.set(LOOK);
            drop(schedule);
        }
    }

    /// Has that connection looked at then.
    pub(super) fn at(&self, when: Instant, key: u64) {
        let mut schedule = lock(&self.schedule);
        schedule.insert((when, key));
        if !self.ticking.load(Ordering::SeqCst) && schedule.first() == Some(&(when, key)) {
            self.set(when.saturating_duration_since(Instant::now()));
        }
    }

    /// That look is not needed any more; a timer that is set to it goes off for nothing.
    pub(super) fn forget(&self, when: Instant, key: u64) {
        lock(&self.schedule).remove(&(when, key));
    }

    #[cfg(test)]
    pub(super) fn reminders(&self) -> usize {
        lock(&self.schedule).len()
    }

    /// Goes off now.
    pub(super) fn ring(&self) {
        self.set(Duration::ZERO);
    }

    fn wait(&self) {
        let _ = rustix::io::read(&self.timer, &mut [0; 8]);
    }

    /// What is due, and the alarm set to what comes next.
    fn due(&self, now: Instant, look_again: bool) -> Vec<u64> {
        let mut schedule = lock(&self.schedule);
        let later = schedule.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut *schedule, later).into_iter().map(|(_, key)| key).collect();
        self.ticking.store(look_again, Ordering::SeqCst);
        if look_again {
            self.set(LOOK);
        } else if let Some((next, _)) = schedule.first() {
            self.set(next.saturating_duration_since(now));
        }
        due
    }

    fn set(&self, after: Duration) {
        // Zero would turn it off.
        let it_value = socket::timespec(after.max(Duration::from_nanos(1)));
        let timer = Itimerspec { it_interval: socket::timespec(Duration::ZERO), it_value };
        // Fails only for a time that is none.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer);
    }
}

/// What was seen of a worker at the last look.
struct Seen {
    worker: Arc<Worker>,
    begun: u64,
    busy: bool,
}

impl Crew {
    /// Stands by until a worker has to be replaced, and returns the place and what is to be gone on with.
    pub(super) fn stand_by(self: &Arc<Self>) -> Option<(Arc<Worker>, Arc<Connection>)> {
        let mut seen: Vec<Seen> = Vec::new();
        // Whoever stood by before may have been about to look.
        self.alarm.tick();
        loop {
            self.alarm.wait();
            if self.stopped.load(Ordering::Acquire) {
                return None;
            }
            let before = std::mem::replace(&mut seen, self.look());
            let moved =
                seen.iter().any(|now| now.busy || before_of(&before, now).is_none_or(|then| then != now.begun));
            let now = Instant::now();
            for key in self.alarm.due(now, moved) {
                self.look_after(key, now);
            }
            if !moved && self.look().iter().any(|worker| worker.busy) {
                // Began after the look and before the alarm was set to something else.
                self.alarm.tick();
            }
            let stays = |now: &&Seen| now.busy && before_of(&before, now) == Some(now.begun);
            if let Some(stuck) = seen.iter().find(stays) {
                // Somebody else has to stand by first.
                if !self.call_successor() {
                    continue;
                }
                return self.replace(stuck);
            }
        }
    }

    fn look(&self) -> Vec<Seen> {
        let working = lock(&self.roster).working.clone();
        let look = |worker: Arc<Worker>| {
            let post = lock(&worker.post);
            let (begun, busy) = (post.begun, post.busy);
            drop(post);
            Seen { worker, begun, busy }
        };
        working.into_iter().map(look).collect()
    }

    fn call_successor(self: &Arc<Self>) -> bool {
        let mut roster = lock(&self.roster);
        roster.standing_by = false;
        if roster.spares > 0 {
            self.called.notify_one();
            return true;
        }
        let hired = self.hire();
        if let Err(error) = &hired {
            tracing::warn!(%error, "cannot start a thread in place of one that a method keeps");
            roster.standing_by = true;
        }
        hired.is_ok()
    }

    /// Takes the place of a worker, where it is still stuck.
    fn replace(&self, stuck: &Seen) -> Option<(Arc<Worker>, Arc<Connection>)> {
        let mut post = lock(&stuck.worker.post);
        if !post.busy || post.begun != stuck.begun {
            return None;
        }
        let connection = post.connection.take()?;
        let if_slow = post.if_slow.take();
        drop(post);
        let me = Arc::new(Worker::default());
        let mut roster = lock(&self.roster);
        for place in &mut roster.working {
            if Arc::ptr_eq(place, &stuck.worker) {
                *place = Arc::clone(&me);
            }
        }
        drop(roster);
        if let Some(if_slow) = if_slow {
            if_slow.is_slow();
        }
        Some((me, connection))
    }
}

fn before_of(before: &[Seen], now: &Seen) -> Option<u64> {
    before.iter().find(|then| Arc::ptr_eq(&then.worker, &now.worker)).map(|then| then.begun)
}
