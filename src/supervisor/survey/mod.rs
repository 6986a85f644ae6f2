//! Asking everybody: one task that owns the SURVEYOR, and the pure plan of when it asks what.
//!
//! [`Rounds`] decides, the dispatcher knows who is to answer, and the task here carries questions out and answers
//! in. It judges nobody: an answer that comes after its round, or from a stranger, is for the dispatcher to drop.

mod connected;
mod rounds;

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::bus::{Body, BusDir, BusError, Guests, Lane, Peer, PeerEvent, Surveyor};
use crate::wire::{Answer, CodecError, Question, Want};

pub(super) use connected::Connected;
pub(super) use rounds::{Asked, Census, RoundKind, RoundOver, Rounds};

/// Answers that may wait for the dispatcher; the bus keeps the rest.
const EVENTS: usize = 256;

/// How long the survey endpoint may take to close.
const CLOSING: Duration = Duration::from_secs(10);

/// What the surveyor's task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SurveyCommand {
    /// Ask, and wait for answers that long.
    Ask { round: u64, want: Want, window: Duration },
    /// Wait no longer for that round's answers.
    End { round: u64 },
}

/// What the surveyor's task tells.
#[derive(Debug)]
pub(super) enum SurveyEvent {
    /// Somebody answered.
    Answered { round: u64, peer: Peer, answer: Box<Answer>, rtt: Duration },
    /// The round is over: its window, or because that was the command.
    Over { round: u64, asked: Instant, ended: Instant },
}

/// The dispatcher's side of the surveyor's task; dropping it ends the task and its endpoint.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) commands: mpsc::Sender<SurveyCommand>,
    pub(super) events: mpsc::Receiver<SurveyEvent>,
    pub(super) peers: mpsc::Receiver<PeerEvent>,
    /// Users who may answer beside the supervisor's own: plugins run as these.
    pub(super) guests: Guests,
    task: JoinHandle<()>,
}

impl Survey {
    /// Listens at the bus's survey endpoint and starts the task.
    ///
    /// # Errors
    /// [`BusError`] where nobody can listen there.
    pub(super) fn start(dir: &BusDir, lane: Lane) -> Result<Self, BusError> {
        let guests = Guests::default();
        let (surveyor, peers) = Surveyor::listen_for(lane, &dir.survey_endpoint()?, &guests)?;
        // One question and its end at a time; the rest is slack.
        let (commands, orders) = mpsc::channel(8);
        let (tell, events) = mpsc::channel(EVENTS);
        let task = tokio::spawn(run(surveyor, orders, tell));
        Ok(Self { commands, events, peers, guests, task })
    }

    /// Ends the task and waits until its socket is closed.
    ///
    /// A socket closed later would take the path away from the next supervisor, who listens there by then.
    pub(super) async fn end(self) {
        let Self { commands, events, mut peers, task, .. } = self;
        drop((commands, events));
        // It panicked if this fails, and has said so itself.
        let _ = task.await;
        // A dropped socket is closed by a thread of the bus, a little later; with it goes the sender of these.
        let closed = async { while peers.recv().await.is_some() {} };
        if tokio::time::timeout(CLOSING, closed).await.is_err() {
            tracing::warn!("the survey endpoint takes long to close");
        }
    }
}

async fn run(mut surveyor: Surveyor, mut orders: mpsc::Receiver<SurveyCommand>, events: mpsc::Sender<SurveyEvent>) {
    while let Some(order) = orders.recv().await {
        // The end of a round that is over already needs nothing done.
        let SurveyCommand::Ask { round, want, window } = order else { continue };
        let asked = Instant::now();
        let question = Question::new(round, want).encode();
        let Some(()) = listen_to_answers(&mut surveyor, &mut orders, &events, (round, &question, window)).await
        else {
            return;
        };
        let over = SurveyEvent::Over { round, asked, ended: Instant::now() };
        if events.send(over).await.is_err() {
            return;
        }
    }
}

/// One round; `None` when nobody is left to work for.
async fn listen_to_answers(
    surveyor: &mut Surveyor,
    orders: &mut mpsc::Receiver<SurveyCommand>,
    events: &mpsc::Sender<SurveyEvent>,
    (round, question, window): (u64, &[u8], Duration),
) -> Option<()> {
    let asked = Instant::now();
    let mut answers = match surveyor.survey(question, window).await {
        Ok(answers) => answers,
        Err(error) => {
            // The window is waited for all the same, so that a broken socket is no busy loop.
            tracing::error!(%error, "the survey question could not be sent");
            tokio::time::sleep(window).await;
            return Some(());
        }
    };
    loop {
        tokio::select! {
            answer = answers.next() => match answer {
                Some((peer, body)) => pass_on(events, peer, &body, round, asked.elapsed()).await?,
                None => return Some(()),
            },
            order = orders.recv() => match order? {
                SurveyCommand::End { round: ended } if ended == round => return Some(()),
                // A stale end; a new question never comes before the old round is over.
                SurveyCommand::End { .. } | SurveyCommand::Ask { .. } => {}
            },
        }
    }
}

async fn pass_on(
    events: &mpsc::Sender<SurveyEvent>,
    peer: Peer,
    body: &Body,
    round: u64,
    rtt: Duration,
) -> Option<()> {
    match Answer::decode(body) {
        Ok(answer) if answer.round == round => {
            events.send(SurveyEvent::Answered { round, peer, answer: Box::new(answer), rtt }).await.ok()
        }
        Ok(answer) => {
            tracing::debug!(?peer, answer.round, round, "an answer to another round");
            Some(())
        }
        Err(error @ CodecError::Version(_)) => {
            tracing::warn!(
                ?peer,
                "a plugin's answer: {error}; it counts as silent until the older of the two is upgraded"
            );
            Some(())
        }
        Err(error) => {
            tracing::warn!(?peer, %error, "a survey answer that is none");
            Some(())
        }
    }
}
