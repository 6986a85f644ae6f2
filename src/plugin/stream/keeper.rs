//! What time and departure bring about: a stream that is left alone ends.

use std::sync::Arc;
use std::time::Instant;

use super::Line;
use super::line::{send, taken_reply};
use crate::wire::Code;

/// What ends a stream before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closer {
    /// `$close`: the caller has all that it wants.
    Caller,
    /// The caller's connection is gone.
    Departure,
    /// It was left alone for too long.
    Time,
    /// The runtime that looked after it is at its end.
    Neglect,
}

impl Closer {
    pub(super) fn why(self) -> &'static str {
        match self {
            Self::Caller => "the stream was closed",
            Self::Departure => "the caller is gone",
            Self::Time => "nobody asked for it for too long",
            Self::Neglect => "the plugin ends",
        }
    }

    pub(super) fn counts_as(self) -> Option<Code> {
        (self != Self::Caller).then_some(Code::Cancelled)
    }
}

/// A stream that somebody looks after.
struct Kept(Arc<Line>);

impl Drop for Kept {
    /// Without a keeper nothing would end it, and a runtime that ends waits for the threads of its code.
    fn drop(&mut self) {
        self.0.close(Closer::Neglect);
    }
}

impl Line {
    /// Looks after the stream until it is over, and its last reply was not lost.
    pub(super) fn keep(
        self: Arc<Self>,
        departed: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = ()> + Send {
        let kept = Kept(self);
        async move {
            let line = &kept.0;
            tokio::pin!(departed);
            while let Some(until) = line.attend() {
                tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = line.poke.notified() => {}
                    () = &mut departed => {
                        line.close(Closer::Departure);
                        return;
                    }
                }
            }
            line.forget();
        }
    }

    /// Does what is due; until when nothing else is, `None` where it is to be forgotten.
    fn attend(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        if state.over {
            return Some(state.idle_at).filter(|until| *until > now);
        }
        let asks = if state.asks.as_ref().is_some_and(|asks| asks.until <= now) {
            self.answer_now(&mut state)
        } else {
            None
        };
        let puts = match state.puts.take_if(|puts| puts.until <= now) {
            Some(puts) => Some(taken_reply(puts.incoming, &state.input.taken())),
            None => None,
        };
        let waits = [state.asks.as_ref().map(|asks| asks.until), state.puts.as_ref().map(|puts| puts.until)];
        let waited_for = waits.into_iter().flatten().min();
        // Whoever waits has not left it alone.
        let until = waited_for.unwrap_or(state.idle_at);
        state.keeper_wakes = until;
        drop(state);
        send([asks, puts]);
        if until <= now && waited_for.is_none() {
            self.close(Closer::Time);
            return None;
        }
        Some(until)
    }
}
