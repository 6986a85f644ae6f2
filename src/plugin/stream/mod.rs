//! Methods that give or take their items one by one.
//!
//! A call of such a method opens a `Line` and answers with its id; `$next`, `$put` and `$close` (`asked`) then find it
//! by that id among the [`Streams`] of the instance. The items wait in `outbound` and `inbound`, both bounded: that
//! holds back the method's code, or the caller. A stream has no deadline. It ends with the method's code, by `$close`,
//! when its caller departs, when nobody asks for it for too long, or, where it never ends by itself, when its plugin
//! drains. It is counted once: at its end.

mod asked;
mod inbound;
mod input;
mod items;
mod keeper;
mod line;
mod opening;
mod outbound;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bus::new_instance;

pub(super) use self::asked::Asked;
pub use self::input::Input;
pub(super) use self::items::Source;
pub use self::items::{Closed, Items, Sender};
pub(super) use self::line::Line;
pub(super) use self::opening::{Life, Opening, on_thread};

/// How many streams an instance has open at once.
pub(super) const MOST: usize = 64;

/// Streams whose end was told, and which are kept in case that reply was lost.
const LINGER: usize = 64;

/// The streams of one instance, by their ids.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    lines: HashMap<String, Arc<Line>>,
    over: VecDeque<String>,
}

impl Streams {
    fn add(&self, line: &Arc<Line>) {
        self.lock().lines.insert(line.id.clone(), Arc::clone(line));
    }

    fn find(&self, id: &str) -> Option<Arc<Line>> {
        self.lock().lines.get(id).cloned()
    }

    fn linger(&self, id: &str) {
        let mut known = self.lock();
        known.over.push_back(id.to_owned());
        if known.over.len() > LINGER
            && let Some(oldest) = known.over.pop_front()
        {
            known.lines.remove(&oldest);
        }
    }

    fn forget(&self, id: &str) {
        self.lock().lines.remove(id);
    }

    /// Ends those that would never end by themselves.
    pub(super) fn drain(&self) {
        // Apart: a stream that ends comes back here.
        let lines: Vec<_> = self.lock().lines.values().cloned().collect();
        lines.iter().for_each(|line| line.drain());
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that nobody guesses: each half has the keys of the system's own choosing.
fn new_id() -> String {
    new_instance() + &new_instance() + &new_instance()
}
