//! What one run tries, and what follows from how that went.

use super::error::Refusal;
use super::probe::Run;
use super::shape::{Choice, Field, Record, Variant};

/// What is done to a struct that is not just giving it all its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Experiment {
    Nothing,
    /// The field is left out.
    Without(usize),
    /// It is given a field that it cannot know.
    Stranger,
}

impl Experiment {
    pub(super) fn leaves_out(self, at: usize, field: &Field) -> bool {
        match self {
            // One that takes no plain value would hide what is missing.
            Self::Without(left_out) => at == left_out || field.refuses || field.is_alias,
            Self::Nothing | Self::Stranger => field.is_alias,
        }
    }
}

impl Record {
    /// First all fields are given; then each is left out once, and then it meets a stranger.
    pub(super) fn next_experiment(&mut self, run: &mut Run) -> Experiment {
        if !self.seen {
            run.has_learnt = true;
            return Experiment::Nothing;
        }
        let unknown = self.fields.iter().position(|field| !field.is_alias && field.required.is_none());
        match unknown {
            Some(at) if run.may_try() => Experiment::Without(at),
            None if self.strict.is_none() && run.may_try() => Experiment::Stranger,
            _ => Experiment::Nothing,
        }
    }

    pub(super) fn conclude(&mut self, experiment: Experiment, given: Option<usize>, refusal: Option<&Refusal>) {
        match (experiment, refusal) {
            (Experiment::Without(at), refusal) => {
                let field = &mut self.fields[at];
                // Only what is surely missed is required: a call must not be refused for a guess.
                field.required = Some(matches!(refusal, Some(Refusal::Missing(name)) if *name == field.name));
            }
            (Experiment::Stranger, refusal) => self.strict = Some(refusal == Some(&Refusal::UnknownField)),
            (Experiment::Nothing, Some(Refusal::Twice(name))) => self.note_alias(name, given),
            (Experiment::Nothing, _) => self.seen = true,
        }
    }

    /// The names of one field stand beside each other; the one that serde calls it by is shown.
    fn note_alias(&mut self, name: &str, given: Option<usize>) {
        let Some(given) = given else { return };
        let own = self.fields[given].name == name;
        let earlier = (0..given).rev().find(|at| !self.fields[*at].is_alias);
        let alias = if own { earlier } else { Some(given) };
        match alias {
            Some(alias) => self.fields[alias].is_alias = true,
            None => self.seen = true,
        }
        for field in self.fields.iter_mut().filter(|field| field.name == name) {
            // It may be there under its other name.
            field.required = Some(false);
        }
    }
}

impl Choice {
    /// The variant that this run looks at; `None` where it is to be none that is known.
    pub(super) fn pick(&mut self, run: &mut Run) -> Option<usize> {
        let usual = self.variants.iter().position(|variant| variant.accepted).unwrap_or(0);
        let usual = (!self.variants.is_empty()).then_some(usual);
        if let Some(at) = self.variants.iter().position(|variant| !variant.tried) {
            return if run.may_try() { Some(at) } else { usual };
        }
        if self.open.is_none() {
            return if run.may_try() { None } else { usual };
        }
        let unknown: Vec<usize> = (0..self.variants.len()).filter(|at| !self.variants[*at].is_known()).collect();
        match unknown.len() {
            count if count > 0 && run.is_free() => Some(unknown[run.number % count]),
            _ => usual,
        }
    }

    pub(super) fn conclude(&mut self, pick: Option<usize>, accepted: bool) {
        match pick.and_then(|at| self.variants.get_mut(at)) {
            Some(Variant { tried, accepted: was, .. }) => (*tried, *was) = (true, *was || accepted),
            None => self.open = Some(accepted),
        }
    }
}
