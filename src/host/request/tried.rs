//! The instances that a call was tried on in vain.

use crate::bus::Card;
use crate::host::CallError;
use crate::host::discovery::Cards;
use crate::host::links::{Chosen, Links};

/// The instances that did not take a call.
#[derive(Default)]
pub(super) struct Tried {
    /// Gone, or about to go.
    pub(super) not: Vec<String>,
    /// Not yet connected.
    late: Vec<Card>,
    /// Lost their connection, and may take another one.
    lost: Vec<String>,
    /// Have as many calls as they take; the error is the last one's.
    full: Vec<String>,
    pub(super) busy: Option<CallError>,
    /// The last one died over it; only a method that may run twice is tried on.
    pub(super) died: Option<CallError>,
}

impl Tried {
    pub(super) fn may_take_it(&self, card: &Card) -> bool {
        let full = self.full.contains(&card.instance);
        !full && !self.not.contains(&card.instance) && !self.late.iter().any(|late| late.instance == card.instance)
    }

    pub(super) fn busy(&mut self, chosen: &Chosen<'_>, links: &Links, error: CallError) {
        links.refused(&chosen.card.instance);
        self.full.push(chosen.card.instance.clone());
        self.busy = Some(error);
    }

    pub(super) fn draining(&mut self, chosen: &Chosen<'_>, links: &Links) {
        links.avoid(&chosen.card.instance);
        self.not.push(chosen.card.instance.clone());
    }

    pub(super) fn died(&mut self, chosen: &Chosen<'_>, died: CallError) {
        self.not.push(chosen.card.instance.clone());
        self.died = Some(died);
    }

    pub(super) fn not_sent(&mut self, Chosen { card, link }: &Chosen<'_>, links: &Links) {
        if !link.requester.is_lost() {
            self.late.push(card.card.clone());
            return;
        }
        links.forget(&card.instance);
        // A connection breaks without its plugin, too (over a message that was too large): the second time, or
        // where the process is gone, it is the plugin.
        let gone = self.lost.contains(&card.instance) || !card.process.is_alive();
        let place = if gone { &mut self.not } else { &mut self.lost };
        place.push(card.instance.clone());
    }

    /// Gives those that are late another try, while they are there; whether there are any.
    ///
    /// Such a plugin may be frozen or starved for a moment only. Each try waits for a connection.
    pub(super) fn late_again(&mut self, cards: &Cards, links: &Links) -> bool {
        let is_there = |late: &Card| late.process.is_alive() && cards.iter().any(|listed| listed.card == *late);
        let (there, gone): (Vec<_>, Vec<_>) = self.late.drain(..).partition(is_there);
        for card in gone {
            links.forget(&card.instance);
            self.not.push(card.instance);
        }
        !there.is_empty()
    }
}
