//! Who drives a connection, and on which runtime the calling task is.

use std::cell::Cell;
use std::hash::{BuildHasher, BuildHasherDefault};

use tokio::runtime::{self, Handle};
use tokio::task;

use super::state::IdHasher;

/// Who drives a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Threads,
    Runtime(runtime::Id),
}

/// Of two to the power of so many tasks each thread remembers the runtime.
const BITS: u32 = 7;

type Seen = Cell<Option<(task::Id, runtime::Id)>>;

thread_local! {
    static SEEN: [Seen; 1 << BITS] = const { [const { Cell::new(None) }; 1 << BITS] };
}

impl Home {
    /// The runtime of the calling task, where this thread has already asked for it.
    ///
    /// To ask takes a handle, which all threads of the runtime count in one place. A task never changes its runtime, and
    /// no two tasks have one id.
    pub(super) fn remembered() -> Option<Self> {
        let task = task::try_id()?;
        SEEN.with(|seen| seen[place(task)].get()).filter(|(of, _)| *of == task).map(|(_, id)| Self::Runtime(id))
    }

    pub(super) fn of(runtime: &Handle) -> Self {
        let id = runtime.id();
        if let Some(task) = task::try_id() {
            SEEN.with(|seen| seen[place(task)].set(Some((task, id))));
        }
        Self::Runtime(id)
    }
}

fn place(task: task::Id) -> usize {
    // Ids are counted up; of these, the upper bits of their hashes hardly ever meet.
    (BuildHasherDefault::<IdHasher>::default().hash_one(task) >> (u64::BITS - BITS)) as usize
}
