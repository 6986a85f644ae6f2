//! Survey rounds: who owes an answer, and whose answer it is.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Dispatcher;
use crate::bus::Peer;
use crate::supervisor::policy::health::RoundOutcome;
use crate::supervisor::process::leads_group_of;
use crate::supervisor::report::{MissingPlugin, SurveyReport, SurveyedPlugin};
use crate::supervisor::survey::{Asked, Census, RoundKind, RoundOver, SurveyCommand, SurveyEvent};
use crate::supervisor::unit::{UnitAnswer, UnitEvent, UnitState};
use crate::wire::{Answer, Info};

/// What a round has heard so far.
#[derive(Debug, Default)]
pub(super) struct Heard(HashMap<Asked, SurveyedPlugin>);

impl Dispatcher {
    pub(super) fn ask_if_due(&mut self, now: Instant) {
        // Taken apart, because the census reads what the plan does not touch.
        let (slots, connected) = (&self.slots, &self.connected);
        let census = || {
            let mut census = Census { connected: connected.len(), ..Census::default() };
            // Room for all at once: to grow step by step, round after round, costs more than the rest of this.
            census.established.reserve(slots.len());
            for (unit, slot) in slots.numbered() {
                let Some(process) = slot.unit.process() else { continue };
                let asked = (unit, slot.unit.epoch());
                match slot.unit.state() {
                    state if state.owes_answers() => census.established.insert(asked),
                    UnitState::Starting if connected.includes(process.id.pid) => census.arriving.insert(asked),
                    _ => false,
                };
            }
            census
        };
        if let Some(command) = self.rounds.due(now, census) {
            self.command_survey(command);
        }
    }

    pub(super) fn command_survey(&mut self, command: SurveyCommand) {
        if let SurveyCommand::Ask { .. } = command {
            self.heard.0.clear();
        }
        // Room for more than one round's commands, and there is one round at a time.
        let _ = self.survey.commands.try_send(command);
    }

    /// A unit's process is known from now on; if it is connected already, it is asked.
    pub(super) fn greet(&mut self, unit: usize) {
        let process = self.slots[unit].unit.process();
        if process.is_some_and(|process| self.connected.includes(process.id.pid)) {
            self.rounds.somebody_arrived(Instant::now());
        }
    }

    pub(super) fn on_survey(&mut self, event: SurveyEvent) {
        match event {
            SurveyEvent::Answered { round, peer, answer, rtt } if round == self.rounds.number() => {
                self.on_answer(peer, *answer, rtt);
            }
            SurveyEvent::Answered { .. } => {}
            SurveyEvent::Over { round, asked, ended } => {
                if let Some(over) = self.rounds.over(round, asked, ended) {
                    self.on_round_over(&over);
                }
            }
        }
    }

    fn on_answer(&mut self, peer: Peer, mut answer: Answer, rtt: Duration) {
        // Plugins that people started by hand answer too, and are nobody's unit.
        let Some((unit, epoch)) = self.instances.get(&answer.instance).copied() else { return };
        if !self.is_own_word(unit, peer, &answer) {
            return;
        }
        // Whoever leaves out what it was asked for does not have it.
        let info = answer.info.take().or_else(|| self.rounds.wants_info().then(Info::default));
        if let Some(command) = self.rounds.answered(answer.round, (unit, epoch)) {
            self.command_survey(command);
        }
        let told = UnitAnswer { phase: answer.state, load: answer.load, info, rtt };
        self.heard.add((unit, epoch), answer, rtt);
        self.tell(unit, UnitEvent::Answered { epoch, answer: told });
    }

    /// Whether an answer in the name of a unit's instance came from that unit's process.
    fn is_own_word(&mut self, unit: usize, peer: Peer, answer: &Answer) -> bool {
        let slot = &self.slots[unit];
        let Some(process) = slot.unit.process() else {
            // Its start is not known here yet; the next question comes right after that.
            return false;
        };
        let same_name = answer.name == slot.unit.spec().name;
        let same_process = peer.pid.is_none_or(|pid| leads_group_of(process.id.pid, pid));
        if same_name && same_process {
            return true;
        }
        if self.connected.accuse(peer) {
            let pid = peer.pid.map_or_else(|| "unknown".into(), |pid| pid.to_string());
            let reason = format!("process {pid} answered as {:?} in its name; not believed", answer.name);
            self.journal.noted(self.slots[unit].subject(), &reason);
        }
        false
    }

    fn on_round_over(&mut self, over: &RoundOver) {
        if over.kind == RoundKind::Regular {
            self.publish_again();
            // Where all answered all the same, it is of no interest.
            if over.void && !over.missing.is_empty() {
                self.journal.own("was late itself; this survey round counts against nobody");
            }
            for &(unit, epoch) in &over.asked {
                if !self.slots.contains(unit) {
                    continue;
                }
                let outcome = match over.missing.contains(&(unit, epoch)) {
                    _ if over.void => RoundOutcome::Void,
                    false => RoundOutcome::Answered,
                    true => RoundOutcome::Missed,
                };
                self.tell(unit, UnitEvent::RoundEnded { epoch, outcome });
            }
        }
        if over.kind != RoundKind::Extra {
            self.report_survey(over);
        }
    }

    fn report_survey(&mut self, over: &RoundOver) {
        if self.surveys_wanted.is_empty() {
            return;
        }
        let mut missing: Vec<_> = over
            .missing
            .iter()
            .filter_map(|(unit, _)| {
                let unit = &self.slots.get(*unit)?.unit;
                Some(MissingPlugin { name: unit.spec().name.clone(), instance: unit.process()?.instance.clone() })
            })
            .collect();
        missing.sort_by(|a, b| (&a.name, &a.instance).cmp(&(&b.name, &b.instance)));
        let report = SurveyReport {
            round: self.rounds.number(),
            took_us: micros(over.took),
            answers: self.heard.take(),
            missing,
        };
        for wanted in self.surveys_wanted.drain(..) {
            // Whoever asked may have gone.
            let _ = wanted.send(report.clone());
        }
    }
}

impl Heard {
    fn add(&mut self, from: Asked, answer: Answer, rtt: Duration) {
        // A plugin may answer twice; memory must not depend on how often.
        self.0.entry(from).or_insert(SurveyedPlugin {
            name: answer.name,
            instance: answer.instance,
            pid: answer.pid,
            state: answer.state,
            rtt_us: micros(rtt),
            load: answer.load,
        });
    }

    fn take(&mut self) -> Vec<SurveyedPlugin> {
        let mut heard: Vec<_> = std::mem::take(&mut self.0).into_values().collect();
        heard.sort_by_key(|heard| heard.rtt_us);
        heard
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}
