//! The method's side of a stream: its items, and those that its caller brings.

use std::sync::{MutexGuard, PoisonError};

use super::{Line, State, send};
use crate::plugin::stream::Closed;
use crate::plugin::stream::outbound::LARGEST;
use crate::wire::{Code, Fault, Progress};

impl Line {
    /// Gives an item; waits on this thread for room.
    pub(in crate::plugin::stream) fn give(&self, item: &[u8]) -> Result<(), Closed> {
        let mut state = self.lock();
        while !state.has_ended() && !state.out.has_room() {
            state.code_waits = true;
            state = self.changed.0.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.pushed(state, item)
    }

    /// Gives an item; waits in its future for room.
    pub(in crate::plugin::stream) async fn give_async(&self, item: &[u8]) -> Result<(), Closed> {
        loop {
            // Made before the look, so that a change in between is not missed.
            let changed = self.changed.1.notified();
            {
                let mut state = self.lock();
                if state.has_ended() || state.out.has_room() {
                    return self.pushed(state, item);
                }
                state.code_waits = true;
            }
            changed.await;
        }
    }

    fn pushed(&self, mut state: MutexGuard<'_, State>, item: &[u8]) -> Result<(), Closed> {
        if state.over {
            return Err(Closed);
        }
        if item.len() > LARGEST {
            let message = format!("an item has {} bytes, it may have {LARGEST}", item.len());
            state.out.end(Err(Fault::new(Code::TooLarge, message)));
        } else if !state.out.has_ended() {
            state.out.push(item);
        }
        let ended = state.out.has_ended();
        self.moved(&mut state);
        let answer = self.answer_next(&mut state);
        drop(state);
        send([answer]);
        if ended { Err(Closed) } else { Ok(()) }
    }

    /// Says how far the method has got.
    pub(in crate::plugin::stream) fn report(&self, progress: Progress) {
        let mut state = self.lock();
        state.out.set_progress(progress);
        self.moved(&mut state);
        let answer = self.answer_next(&mut state);
        drop(state);
        send([answer]);
    }

    /// Notes that the method gets somewhere.
    fn moved(&self, state: &mut State) {
        state.first.get_or_insert_with(|| self.life.age());
        if let Some(ticket) = &state.ticket {
            ticket.beat();
        }
    }

    /// Ends the stream from the method's side: what waits is still given out.
    pub(in crate::plugin::stream) fn finish(&self, outcome: Result<(), Fault>) {
        let mut state = self.lock();
        state.out.end(outcome);
        self.wake_code(&mut state);
        let answers = [self.answer_next(&mut state), self.answer_put(&mut state)];
        drop(state);
        send(answers);
    }

    /// The next item that the caller has brought; waits on this thread. `None` where there is no more.
    pub(in crate::plugin::stream) fn receive(&self) -> Option<Vec<u8>> {
        let mut state = self.lock();
        loop {
            if let Some(item) = self.popped(&mut state) {
                return self.received(state, item);
            }
            state.code_waits = true;
            state = self.changed.0.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`receive`](Self::receive), and waits in its future.
    pub(in crate::plugin::stream) async fn receive_async(&self) -> Option<Vec<u8>> {
        loop {
            let changed = self.changed.1.notified();
            {
                let mut state = self.lock();
                if let Some(item) = self.popped(&mut state) {
                    return self.received(state, item);
                }
                state.code_waits = true;
            }
            changed.await;
        }
    }

    fn popped(&self, state: &mut State) -> Option<Option<Vec<u8>>> {
        if state.has_ended() { Some(None) } else { state.input.pop() }
    }

    fn received(&self, mut state: MutexGuard<'_, State>, item: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let answer = if state.input.has_much_room() { self.answer_put(&mut state) } else { None };
        drop(state);
        send([answer]);
        item
    }
}
