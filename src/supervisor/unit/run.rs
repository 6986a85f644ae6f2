//! One process of a unit, from the order to start it until it is gone.

use std::time::{Duration, Instant};

use super::event::{Epoch, UnitAnswer};
use crate::bus::ProcessId;
use crate::supervisor::policy::backoff::RunLength;
use crate::supervisor::policy::health::Stillness;
use crate::wire::{Info, Load};

/// What is known of the process that a unit has at the moment.
#[derive(Debug)]
pub(in crate::supervisor) struct Run {
    pub(super) epoch: Epoch,
    /// When it was ordered, then when it was seen to exist.
    pub(super) since: Instant,
    /// None while it is being spawned.
    pub(super) process: Option<RunProcess>,
    /// When it last became ready.
    pub(super) ready_at: Option<Instant>,
    /// Whether another supervisor started it, and it has not answered this one yet.
    pub(super) found: bool,
    /// Whether it was gone before this supervisor came.
    pub(super) gone: bool,
    /// Whether callers can find it.
    pub(super) published: bool,
    /// Regular rounds in a row that it missed.
    pub(super) missed: u32,
    /// Since when it has not moved.
    pub(super) stillness: Option<Stillness>,
    /// Why the supervisor ends it; `None` while it may live.
    pub(super) end: Option<EndCause>,
    /// Whether it is to be told to end once those that need it are gone.
    pub(super) held: bool,
    /// What it was last asked to end with, and how long it was given.
    pub(super) asked_with: Option<(&'static str, Duration)>,
    /// Whether it was sent SIGKILL.
    pub(super) killed: bool,
    /// Whether even that did not end it in time.
    pub(super) stuck: bool,
    pub(super) last_answer: Option<LastAnswer>,
    pub(super) info: Option<Info>,
}

/// The identity of a process that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::supervisor) struct RunProcess {
    pub(in crate::supervisor) instance: String,
    pub(in crate::supervisor) id: ProcessId,
}

/// Why the supervisor ends a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EndCause {
    /// Somebody asked for it: never a crash, whatever the exit code.
    Commanded,
    /// What it requires is down: no crash either.
    Bereft,
    /// It was found wanting, in words.
    Fault(String),
}

/// The newest survey answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervisor) struct LastAnswer {
    pub(in crate::supervisor) at: Instant,
    pub(in crate::supervisor) rtt: Duration,
    pub(in crate::supervisor) load: Load,
}

impl Run {
    pub(super) fn new(epoch: Epoch, now: Instant) -> Self {
        Self {
            epoch,
            since: now,
            process: None,
            ready_at: None,
            found: false,
            gone: false,
            published: false,
            missed: 0,
            stillness: None,
            end: None,
            held: false,
            asked_with: None,
            killed: false,
            stuck: false,
            last_answer: None,
            info: None,
        }
    }

    /// How good a run it was, if it ends now.
    pub(super) fn length(&self, now: Instant) -> RunLength {
        match self.ready_at {
            Some(at) => RunLength::ReadyFor(now.saturating_duration_since(at)),
            None => RunLength::NeverReady,
        }
    }

    /// Takes in an answer; whether it told something new about the plugin's methods.
    pub(super) fn take_answer(&mut self, answer: UnitAnswer, now: Instant) -> bool {
        self.missed = 0;
        self.last_answer = Some(LastAnswer { at: now, rtt: answer.rtt, load: answer.load });
        match answer.info {
            Some(info) if self.info.as_ref() != Some(&info) => {
                self.info = Some(info);
                true
            }
            _ => false,
        }
    }
}
