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

/// As many tasks of a thread are remembered, with their runtimes.
const REMEMBERED: usize = 64;

type Seen = Cell<Option<(task::Id, runtime::Id)>>;

thread_local! {
    static SEEN: [Seen; REMEMBERED] = const { [const { Cell::new(None) }; REMEMBERED] };
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
    let hash = BuildHasherDefault::<IdHasher>::default().hash_one(task);
    // Its upper bits are the ones that are spread.
    (hash >> 32) as usize % REMEMBERED
}
