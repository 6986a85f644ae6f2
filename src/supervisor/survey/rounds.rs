//! When the next question is asked, and what its round means.
//!
//! Regular rounds come every interval and alone count as missed. Between them, extra rounds find out quickly who
//! that is starting has become ready; a requested one serves the `survey` method. One round runs at a time. An
//! extra round makes way for a regular one, a requested one is waited for.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::SurveyCommand;
use crate::supervisor::SurveySpec;
use crate::supervisor::policy::health::RoundTimes;
use crate::supervisor::unit::Epoch;
use crate::wire::Want;

/// The wait before a plugin that has connected, and is not ready yet, is asked again; it doubles.
const FIRST_EXTRA_WAIT: Duration = Duration::from_millis(25);

/// How long an extra round waits for the slow before it makes way for a newcomer.
const EXTRA_PATIENCE: Duration = Duration::from_millis(50);

/// Time from one extra round to the next when plugins connect one after the other, at the least.
const MIN_EXTRA_GAP: Duration = Duration::from_millis(5);

/// What each connected plugin adds to that gap: everybody answers an extra round, not only the one it is for.
const EXTRA_GAP_EACH: Duration = Duration::from_micros(100);

/// A crowd is asked no more often than this for each of its plugins, as far as no verdict comes later by that.
///
/// A question and its answer take about 40 µs of the supervisor's time (a thousand plugins, docs/reliability.md, E3),
/// so asking takes about 2 % of a core, whatever their number.
const PACE_EACH: Duration = Duration::from_millis(2);

/// What a round is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) enum RoundKind {
    /// Whoever owes an answer and does not give it has missed a round.
    Regular,
    /// Finds out who has become ready.
    Extra,
    /// Somebody wants to see everybody's answers.
    Requested,
}

/// One instance: a unit and which of its processes. Short, because a thousand of them are gone through every round.
pub(in crate::supervisor) type Asked = (usize, Epoch);

/// Who there is to be asked, at one moment.
#[derive(Debug, Clone, Default)]
pub(in crate::supervisor) struct Census {
    /// Instances that have been ready and owe an answer.
    pub(in crate::supervisor) established: HashSet<Asked>,
    /// Instances that are connected and not ready yet.
    pub(in crate::supervisor) arriving: HashSet<Asked>,
    /// Everybody who is connected, supervised or not.
    pub(in crate::supervisor) connected: usize,
}

/// How a round ended.
#[derive(Debug)]
pub(in crate::supervisor) struct RoundOver {
    pub(in crate::supervisor) kind: RoundKind,
    pub(in crate::supervisor) took: Duration,
    /// The supervisor itself was late: what it did not hear says nothing.
    pub(in crate::supervisor) void: bool,
    /// Instances that owed an answer when the question went out.
    pub(in crate::supervisor) asked: HashSet<Asked>,
    /// Those of them that did not give it.
    pub(in crate::supervisor) missing: HashSet<Asked>,
}

/// The plan of the rounds.
#[derive(Debug)]
pub(in crate::supervisor) struct Rounds {
    spec: SurveySpec,
    number: u64,
    current: Option<Round>,
    next_regular: Instant,
    next_extra: Option<Instant>,
    extra_wait: Duration,
    earliest_extra: Instant,
    requested: bool,
    void: u64,
}

#[derive(Debug)]
struct Round {
    kind: RoundKind,
    planned: Instant,
    window: Duration,
    want: Want,
    asked: HashSet<Asked>,
    missing: HashSet<Asked>,
    /// Its end was ordered and is not yet reported.
    ending: bool,
}

impl Rounds {
    pub(in crate::supervisor) fn new(spec: SurveySpec, now: Instant) -> Self {
        Self {
            next_regular: now + spec.interval,
            spec,
            number: 0,
            current: None,
            next_extra: None,
            extra_wait: FIRST_EXTRA_WAIT,
            earliest_extra: now,
            requested: false,
            void: 0,
        }
    }

    /// Asks in another rhythm from now on; a round under way keeps its window.
    pub(in crate::supervisor) fn reconfigure(&mut self, spec: SurveySpec, now: Instant) {
        self.next_regular = now + spec.interval;
        self.spec = spec;
    }

    /// The number of the newest round.
    pub(in crate::supervisor) fn number(&self) -> u64 {
        self.number
    }

    /// Rounds in which the supervisor was late.
    pub(in crate::supervisor) fn void(&self) -> u64 {
        self.void
    }

    /// Whether a round's question asked for everything, so that what an answer lacks its plugin does not have.
    pub(in crate::supervisor) fn wants_info(&self) -> bool {
        self.current.as_ref().is_some_and(|round| round.want == Want::Info)
    }

    /// Somebody who is starting has connected: ask at once, and from now on often.
    pub(in crate::supervisor) fn somebody_arrived(&mut self, now: Instant) {
        self.extra_wait = FIRST_EXTRA_WAIT;
        self.next_extra = Some(now.max(self.earliest_extra));
    }

    /// Somebody wants to see a round of everybody's answers.
    pub(in crate::supervisor) fn request(&mut self) {
        self.requested = true;
    }

    /// When [`due`](Self::due) has something to say again; `None` while a round has to end first.
    pub(in crate::supervisor) fn deadline(&self, now: Instant) -> Option<Instant> {
        match &self.current {
            // Makes way for the regular round, and for a newcomer, who must not wait for the slowest.
            Some(round) if round.kind == RoundKind::Extra && !round.ending => {
                let newcomer = self.next_extra.map(|extra| extra.max(round.planned + EXTRA_PATIENCE));
                Some(newcomer.map_or(self.next_regular, |newcomer| newcomer.min(self.next_regular)))
            }
            Some(_) => None,
            None if self.requested => Some(now),
            None => Some(self.next_extra.map_or(self.next_regular, |extra| extra.min(self.next_regular))),
        }
    }

    /// What the surveyor is to be told now, if anything.
    pub(in crate::supervisor) fn due(
        &mut self,
        now: Instant,
        census: impl FnOnce() -> Census,
    ) -> Option<SurveyCommand> {
        if self.deadline(now).is_none_or(|deadline| now < deadline) {
            return None;
        }
        if self.current.is_some() {
            return self.end();
        }
        let census = census();
        let regular = now >= self.next_regular;
        let extra = self.next_extra.is_some_and(|at| now >= at);
        if regular {
            return self.plan_regular(now, census);
        }
        if extra {
            self.next_extra = None;
        }
        if self.requested {
            Some(self.ask(RoundKind::Requested, now, self.spec.deadline, census))
        } else if extra && !census.arriving.is_empty() {
            self.earliest_extra = now + MIN_EXTRA_GAP + EXTRA_GAP_EACH * u32::try_from(census.connected).unwrap_or(0);
            // Longer is of no use: whoever takes longer is asked again.
            let window = self.spec.deadline.min(self.extra_wait * 4);
            Some(self.ask(RoundKind::Extra, now, window, census))
        } else {
            None
        }
    }

    fn plan_regular(&mut self, now: Instant, census: Census) -> Option<SurveyCommand> {
        let planned = self.next_regular;
        self.plan_next(planned, self.spec.interval + self.spec.stretch(census.established.len()), now);
        if !census.arriving.is_empty() {
            // This round may end before they answer, and the question that they were asked may have been lost.
            self.next_extra.get_or_insert(now);
        }
        if census.established.is_empty() && !self.requested {
            return None;
        }
        Some(self.ask(RoundKind::Regular, planned, self.spec.deadline, census))
    }

    /// Counted on from the plan, so that rounds do not drift; what was slept through is not made up for.
    fn plan_next(&mut self, planned: Instant, wait: Duration, now: Instant) {
        let next = planned + wait;
        self.next_regular = if next > now { next } else { now + wait };
    }

    fn ask(&mut self, kind: RoundKind, planned: Instant, window: Duration, census: Census) -> SurveyCommand {
        let want = if census.arriving.is_empty() { Want::Ping } else { Want::Info };
        let asked = match kind {
            RoundKind::Regular => census.established,
            RoundKind::Extra => census.arriving,
            RoundKind::Requested => &census.established | &census.arriving,
        };
        self.number += 1;
        self.current = Some(Round { kind, planned, window, want, missing: asked.clone(), asked, ending: false });
        SurveyCommand::Ask { round: self.number, want, window }
    }

    /// Takes in an answer that was proved to be the instance's own; the end of the round, if it was the last.
    pub(in crate::supervisor) fn answered(&mut self, round: u64, instance: Asked) -> Option<SurveyCommand> {
        let current = self.current.as_mut().filter(|_| round == self.number)?;
        current.missing.remove(&instance);
        self.end_if_complete()
    }

    /// Nobody will answer for this instance any more, so nobody waits for it.
    pub(in crate::supervisor) fn gone(&mut self, instance: Asked) -> Option<SurveyCommand> {
        let current = self.current.as_mut()?;
        current.asked.remove(&instance);
        current.missing.remove(&instance);
        self.end_if_complete()
    }

    fn end_if_complete(&mut self) -> Option<SurveyCommand> {
        self.current.as_ref().is_some_and(|round| round.missing.is_empty()).then(|| self.end()).flatten()
    }

    fn end(&mut self) -> Option<SurveyCommand> {
        let current = self.current.as_mut().filter(|round| !round.ending)?;
        current.ending = true;
        Some(SurveyCommand::End { round: self.number })
    }

    /// Takes in the end of a round.
    pub(in crate::supervisor) fn over(&mut self, round: u64, asked: Instant, ended: Instant) -> Option<RoundOver> {
        let current = self.current.take_if(|_| round == self.number)?;
        let times = RoundTimes { planned: current.planned, asked, ended, window: current.window };
        let void = times.are_void();
        // A regular round that has to wait for the one before it is not late by the supervisor's fault.
        match current.kind {
            RoundKind::Regular => {
                self.void += u64::from(void);
                self.requested = false;
                let stretch = self.spec.stretch(current.asked.len());
                if !stretch.is_zero() && !current.missing.is_empty() {
                    self.plan_next(current.planned, self.spec.interval - stretch / (self.spec.misses - 1), ended);
                }
                self.next_regular = self.next_regular.max(ended);
            }
            RoundKind::Extra => {
                self.next_extra.get_or_insert(ended + self.extra_wait);
                self.extra_wait = (self.extra_wait * 2).min(self.spec.interval);
            }
            RoundKind::Requested => {
                self.requested = false;
                self.next_regular = self.next_regular.max(ended);
            }
        }
        let took = ended.saturating_duration_since(asked);
        Some(RoundOver { kind: current.kind, took, void, asked: current.asked, missing: current.missing })
    }
}

impl SurveySpec {
    /// How much longer than the interval a crowd is left alone while all of it answers.
    ///
    /// What is waited longer before the first miss is made up for before the others, so silence is noticed no later
    /// than `interval × misses + deadline` after it began. A round has its time all the same.
    fn stretch(&self, asked: usize) -> Duration {
        let more = self.misses.saturating_sub(1);
        let each = (self.interval * 3 / 8).min(self.interval.saturating_sub(self.deadline));
        let wanted = PACE_EACH * u32::try_from(asked).unwrap_or(u32::MAX);
        wanted.saturating_sub(self.interval).min(self.interval * 3 / 4).min(each * more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: SurveySpec =
        SurveySpec { interval: Duration::from_secs(1), deadline: Duration::from_millis(500), misses: 3 };

    fn one(unit: usize) -> Asked {
        (unit, Epoch(1))
    }

    const A: Asked = (0, Epoch(1));
    const B: Asked = (1, Epoch(1));
    const C: Asked = (2, Epoch(1));
    const N: Asked = (3, Epoch(1));

    /// The plan, the time since its start, and who is there.
    struct Stage {
        rounds: Rounds,
        start: Instant,
        census: Census,
    }

    impl Stage {
        fn new(established: &[Asked], arriving: &[Asked]) -> Self {
            let start = Instant::now();
            let census = Census {
                established: established.iter().copied().collect(),
                arriving: arriving.iter().copied().collect(),
                connected: established.len() + arriving.len(),
            };
            Self { rounds: Rounds::new(SPEC, start), start, census }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn due(&mut self, millis: u64) -> Option<SurveyCommand> {
            self.rounds.due(self.at(millis), || self.census.clone())
        }

        fn over(&mut self, asked: u64, ended: u64) -> RoundOver {
            self.rounds.over(self.rounds.number(), self.at(asked), self.at(ended)).unwrap()
        }

        fn next(&self, millis: u64) -> Option<u64> {
            let deadline = self.rounds.deadline(self.at(millis))?;
            Some(deadline.duration_since(self.start).as_millis().try_into().unwrap())
        }
    }

    fn ask(round: u64, want: Want, window: u64) -> Option<SurveyCommand> {
        Some(SurveyCommand::Ask { round, want, window: Duration::from_millis(window) })
    }

    #[test]
    fn regular_rounds_come_at_the_interval_and_end_when_all_have_answered() {
        let mut stage = Stage::new(&[A, B], &[]);
        assert_eq!((stage.next(0), stage.due(999)), (Some(1000), None));
        assert_eq!(stage.due(1003), ask(1, Want::Ping, 500));
        assert_eq!(stage.rounds.answered(1, A), None);
        assert_eq!(stage.rounds.answered(0, B), None, "late answers to another round count for nothing");
        assert_eq!(stage.rounds.answered(1, B), Some(SurveyCommand::End { round: 1 }));
        assert_eq!(stage.rounds.answered(1, B), None, "it ends once");
        let over = stage.over(1003, 1005);
        assert!(over.missing.is_empty() && !over.void && over.asked.len() == 2);
        assert_eq!(stage.next(1005), Some(2000), "they do not drift");
    }

    #[test]
    fn who_does_not_answer_is_missing_unless_it_is_gone() {
        let mut stage = Stage::new(&[A, B, C], &[]);
        stage.due(1000);
        stage.rounds.answered(1, A);
        stage.rounds.gone(B);
        let over = stage.over(1000, 1500);
        assert_eq!((over.missing, over.void), (HashSet::from([C]), false));
    }

    #[test]
    fn a_supervisor_that_was_late_voids_the_round() {
        let mut stage = Stage::new(&[A], &[]);
        assert!(stage.due(31_000).is_some());
        assert!(stage.over(31_000, 31_500).void);
        assert_eq!((stage.rounds.void(), stage.next(31_500)), (1, Some(32_000)));
    }

    #[test]
    fn rounds_longer_than_the_interval_are_not_late() {
        let mut stage = Stage::new(&[A], &[]);
        stage.rounds.spec.deadline = Duration::from_millis(2500);
        for (asked, ended) in [(1000, 3500), (3500, 6000), (6000, 8500)] {
            assert!(stage.due(asked).is_some(), "{asked}");
            let over = stage.over(asked, ended);
            assert_eq!((over.void, over.missing.len()), (false, 1), "{asked}");
        }
    }

    #[test]
    fn a_newcomer_is_asked_at_once_and_then_ever_more_rarely() {
        let mut stage = Stage::new(&[A], &[N]);
        stage.rounds.somebody_arrived(stage.at(10));
        assert_eq!(stage.due(10), ask(1, Want::Info, 100));
        assert!(stage.rounds.wants_info());
        assert_eq!(stage.rounds.answered(1, A), None);
        assert_eq!(stage.rounds.answered(1, N), Some(SurveyCommand::End { round: 1 }));
        assert_eq!(stage.over(10, 11).kind, RoundKind::Extra);
        for (at, next) in [(36, 87), (87, 188)] {
            assert_eq!(stage.next(12), Some(at), "it said that it is starting");
            assert!(stage.due(at).is_some());
            stage.over(at, at + 1);
            assert_eq!(stage.next(at), Some(next));
        }
        stage.census.arriving.clear();
        assert_eq!(stage.due(188), None);
        assert_eq!(stage.next(188), Some(1000));
    }

    #[test]
    fn an_extra_round_makes_way() {
        let mut stage = Stage::new(&[A], &[N]);
        stage.rounds.somebody_arrived(stage.at(990));
        stage.due(990);
        assert_eq!(stage.due(1000), Some(SurveyCommand::End { round: 1 }));
        assert_eq!(stage.due(1000), None, "its end has to come first");
        stage.over(990, 1001);
        assert_eq!(stage.due(1001), ask(2, Want::Info, 500), "the regular one");
        stage.over(1001, 1003);
        stage.rounds.somebody_arrived(stage.at(1040));
        assert!(stage.due(1040).is_some());
        stage.rounds.somebody_arrived(stage.at(1041));
        assert_eq!(stage.due(1089), None);
        assert_eq!(stage.due(1090), Some(SurveyCommand::End { round: 3 }), "for the second newcomer");
    }

    #[test]
    fn many_newcomers_do_not_make_a_storm() {
        let mut stage = Stage::new(&[], &[N]);
        stage.census.connected = 1000;
        stage.rounds.somebody_arrived(stage.at(0));
        assert!(stage.due(0).is_some());
        stage.over(0, 2);
        stage.rounds.somebody_arrived(stage.at(3));
        assert_eq!(stage.next(3), Some(105));
    }

    #[test]
    fn a_crowd_is_asked_more_rarely_and_silence_noticed_no_later() {
        let crowd: Vec<Asked> = (0..1000).map(one).collect();
        let mut stage = Stage::new(&crowd, &[]);
        let answer = |stage: &mut Stage, silent: Option<Asked>| {
            for instance in crowd.iter().filter(|instance| Some(**instance) != silent) {
                stage.rounds.answered(stage.rounds.number(), *instance);
            }
        };
        stage.due(1000);
        answer(&mut stage, None);
        stage.over(1000, 1100);
        assert_eq!(stage.next(1100), Some(2750));
        // One falls silent right after its answer.
        for (asked, next) in [(2750, 3375), (3375, 4000), (4000, 4625)] {
            stage.due(asked);
            answer(&mut stage, Some(one(7)));
            assert_eq!(stage.over(asked, asked + 500).missing, HashSet::from([one(7)]));
            assert_eq!(stage.next(asked + 500), Some(next));
        }
        // The third miss is known 3.5 s after its last answer: three intervals and the deadline.
        stage.due(4625);
        answer(&mut stage, None);
        stage.over(4625, 4800);
        assert_eq!(stage.next(4800), Some(6375), "calm again");
    }

    #[test]
    fn the_pace_of_a_crowd_keeps_the_bounds() {
        let spec = |misses, deadline| SurveySpec { misses, deadline: Duration::from_millis(deadline), ..SPEC };
        for (spec, asked, stretch) in [
            (spec(3, 500), 500, 0),
            (spec(3, 500), 600, 200),
            (spec(3, 500), 100_000, 750),
            (spec(2, 500), 100_000, 375),
            (spec(1, 500), 100_000, 0),
            (spec(9, 500), 100_000, 750),
            (spec(3, 900), 100_000, 200),
            (spec(3, 1000), 100_000, 0),
        ] {
            assert_eq!(spec.stretch(asked), Duration::from_millis(stretch), "{spec:?} {asked}");
        }
    }

    #[test]
    fn without_anybody_nothing_is_asked() {
        let mut stage = Stage::new(&[], &[]);
        assert_eq!(stage.due(1000), None);
        assert_eq!(stage.next(1000), Some(2000));
        stage.rounds.somebody_arrived(stage.at(1500));
        assert_eq!(stage.due(1500), None);
    }

    #[test]
    fn a_requested_round_asks_everybody_and_is_waited_for() {
        let mut stage = Stage::new(&[A], &[N]);
        stage.rounds.request();
        assert_eq!(stage.due(900), ask(1, Want::Info, 500));
        assert_eq!(stage.due(1000), None);
        let over = stage.over(900, 1400);
        assert_eq!((over.kind, over.missing.len()), (RoundKind::Requested, 2));
        assert!(stage.due(1400).is_some());
        assert!(!stage.over(1400, 1401).void, "the regular round was held up, not late");
    }
}
