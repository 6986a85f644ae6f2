//! Serves the outside: the handle, and whoever calls the supervisor's own methods.

use std::time::Instant;

use tokio::sync::oneshot;

use super::waiting::{Prospect, WaitFound, WaitQuery, WaitRefusal, look};
use super::{Dispatcher, NotReady, Request};
use crate::supervisor::report::{StatusReport, SurveyReport};
use crate::supervisor::unit::Unit;

/// Somebody who waits for an instance that can serve a call.
#[derive(Debug)]
pub(super) struct Waiter {
    query: WaitQuery,
    answer: oneshot::Sender<Result<WaitFound, WaitRefusal>>,
}

impl Dispatcher {
    /// Answers are sent without waiting; whoever asked may have gone, and that is no error.
    pub(super) fn serve(&mut self, request: Request) {
        match request {
            Request::Status(answer) => drop(answer.send(self.status())),
            Request::Survey(answer) => self.survey_now(answer),
            Request::Wait(query, answer) => {
                // Those who gave up are found when something changes; here, when others come.
                self.waiters.retain(|waiter| !waiter.answer.is_closed());
                self.waiters.push(Waiter { query, answer });
                self.changed = true;
            }
            Request::WaitReady(answer) => {
                self.ready_waiters.push(answer);
                self.changed = true;
            }
            Request::Ping(answer) => drop(answer.send(())),
            Request::NotReady(answer) => drop(answer.send(self.not_ready())),
            Request::Order(query, answer) => self.on_order(query, answer),
            Request::Scale { name, replicas, wait, answer } => self.on_scale(&name, replicas, wait, answer),
            Request::Add { request, wait, answer } => self.on_add(request, wait, answer),
            Request::Reload(reload) => self.on_reload(reload),
            Request::Vetted(vetted) => self.on_vetted(vetted),
            Request::Rebuilt(names) => self.on_rebuilt(&names),
            Request::Stop => self.stop_all(),
            Request::Leave => self.let_go(),
        }
    }

    fn status(&self) -> StatusReport {
        let now = Instant::now();
        StatusReport {
            bus: self.spec.bus.clone(),
            directory: self.workshop.dir.path().display().to_string(),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: now.duration_since(self.started).as_millis().try_into().unwrap_or(u64::MAX),
            void_rounds: self.rounds.void(),
            plugins: self.slots.iter().map(|slot| slot.status(now)).collect(),
        }
    }

    fn survey_now(&mut self, answer: oneshot::Sender<SurveyReport>) {
        if self.slots.iter().all(|slot| slot.unit.process().is_none()) {
            let report = SurveyReport { round: self.rounds.number(), took_us: 0, answers: vec![], missing: vec![] };
            let _ = answer.send(report);
            return;
        }
        self.surveys_wanted.push(answer);
        self.rounds.request();
    }

    /// Looks at those who wait, if anything has changed for them.
    pub(super) fn serve_waiters(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        self.serve_rolls();
        self.serve_errands();
        self.bury();
        for waiter in std::mem::take(&mut self.waiters) {
            let prospect = match self.stopping {
                true => Prospect::Never(WaitRefusal::Stopping),
                false => look(&waiter.query, self.slots.iter().map(|slot| &slot.unit)),
            };
            match prospect {
                Prospect::Ready(found) => drop(waiter.answer.send(Ok(found))),
                Prospect::Never(refusal) => drop(waiter.answer.send(Err(refusal))),
                Prospect::Soon => self.waiters.push(waiter),
            }
        }
        if !self.ready_waiters.is_empty()
            && let Some(verdict) = self.readiness()
        {
            for waiter in self.ready_waiters.drain(..) {
                let _ = waiter.send(verdict.clone());
            }
        }
    }

    /// Whether all that is enabled is ready; `None` while that may still come.
    fn readiness(&self) -> Option<Result<(), Vec<NotReady>>> {
        let enabled = || self.slots.iter().map(|slot| &slot.unit).filter(|unit| unit.is_wanted());
        if enabled().all(|unit| unit.state().takes_calls()) {
            Some(Ok(()))
        } else if self.stopping || enabled().any(Unit::is_hopeless) {
            Some(Err(self.not_ready()))
        } else {
            None
        }
    }

    fn not_ready(&self) -> Vec<NotReady> {
        let units = self.slots.iter().map(|slot| &slot.unit);
        units
            .filter(|unit| unit.is_wanted() && !unit.state().takes_calls())
            .map(|unit| NotReady {
                name: unit.spec().name.clone(),
                reason: format!("{}: {}", unit.state(), unit.reason()),
            })
            .collect()
    }
}
