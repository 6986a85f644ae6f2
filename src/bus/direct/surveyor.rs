//! SURVEYOR: one question to everybody who is connected, and every answer that comes in its time.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::frame::{self, Greetings, Malformed};
use super::hub::{Ears, Hub};
use super::lock;
use crate::bus::survey::{EVENTS, UNREAD};
use crate::bus::{Body, BusError, Endpoint, Guests, Peer, PeerEvent};

const GREETINGS: Greetings = Greetings { own: frame::SURVEYOR, theirs: frame::RESPONDENT };

/// Asks everybody who is connected to one endpoint.
#[derive(Debug)]
pub(in crate::bus) struct Surveyor {
    hub: Hub,
    round: Arc<Mutex<Round>>,
    endpoint: Endpoint,
}

/// The question that is asked, and who waits for the answers.
#[derive(Debug, Default)]
struct Round {
    id: u32,
    /// `None` once its time is over.
    answers: Option<(mpsc::Sender<(Peer, Body)>, Instant)>,
}

impl Surveyor {
    pub(in crate::bus) fn listen(
        endpoint: &Endpoint,
        guests: &Guests,
    ) -> Result<(Self, mpsc::Receiver<PeerEvent>), BusError> {
        let (events, joined) = mpsc::channel(EVENTS);
        let round = Arc::<Mutex<Round>>::default();
        let ears = Answers { round: Arc::clone(&round), events };
        let hub = Hub::open("plugbus-survey", endpoint, guests, GREETINGS, ears)?;
        Ok((Self { hub, round, endpoint: endpoint.clone() }, joined))
    }

    /// Asks; the answers end with the window.
    pub(in crate::bus) fn ask(
        &mut self,
        question: &[u8],
        window: Duration,
    ) -> Result<mpsc::Receiver<(Peer, Body)>, BusError> {
        let (sender, answers) = mpsc::channel(UNREAD);
        let mut round = lock(&self.round);
        let id = round.id.wrapping_add(1) | frame::REQUEST_ID;
        *round = Round { id, answers: Some((sender, Instant::now() + window)) };
        drop(round);
        // After that, however long it takes: the time is said once, and whoever hears it looks at the clock.
        if let Err(error) = self.hub.say_after(window) {
            self.end_round();
            return Err(BusError::transport("ask at", &self.endpoint, std::io::Error::from(error)));
        }
        self.hub.tell(&[&frame::head(4 + question.len())[..], &id.to_be_bytes(), question].concat());
        Ok(answers)
    }

    /// Waits for no more answers.
    pub(in crate::bus) fn end_round(&mut self) {
        lock(&self.round).answers = None;
    }
}

/// What is made of that which respondents do.
struct Answers {
    round: Arc<Mutex<Round>>,
    events: mpsc::Sender<PeerEvent>,
}

impl Ears for Answers {
    fn joined(&mut self, peer: Peer) {
        let _ = self.events.try_send(PeerEvent::Joined(peer));
    }

    fn left(&mut self, peer: Peer) {
        let _ = self.events.try_send(PeerEvent::Left(peer));
    }

    fn heard(&mut self, peer: Peer, message: Vec<u8>) -> Result<(), Malformed> {
        let id = frame::reply_id(&message)?;
        let round = lock(&self.round);
        // An answer to an earlier question is void.
        if let (Some((answers, _)), true) = (&round.answers, id == round.id)
            && answers.try_send((peer, Body::after(message, 4))).is_err()
        {
            tracing::warn!(?peer, "more than {UNREAD} answers to one question; this one is dropped");
        }
        Ok(())
    }

    fn time_is_up(&mut self) {
        let mut round = lock(&self.round);
        // Another question may have been asked since.
        if round.answers.as_ref().is_some_and(|(_, ends)| *ends <= Instant::now()) {
            round.answers = None;
        }
    }
}
