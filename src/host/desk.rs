//! What every call writes, kept apart for groups of threads.
//!
//! In one place for all of them it would spend more time on its way between the cores than on being written.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Into how many groups threads are put.
pub(super) const DESKS: usize = 4;

/// One for each group, on cache lines of its own.
#[derive(Debug, Default)]
pub(super) struct Desks<T>([Desk<T>; DESKS]);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Desk<T>(T);

impl<T> Desks<T> {
    /// That of the calling thread.
    pub(super) fn own(&self) -> &T {
        &self.0[own_desk()].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|desk| &desk.0)
    }
}

/// The group of the calling thread: they are given out in turn.
pub(super) fn own_desk() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        let desk = own.get().unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed) % DESKS);
        own.set(Some(desk));
        desk
    })
}
