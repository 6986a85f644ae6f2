//! SURVEYOR, RESPONDENT, PUB and SUB as the layers above see them, on the lane that was picked.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

#[cfg(target_os = "linux")]
use super::direct;
use super::incoming::{Incoming, IncomingOn};
use super::trace::{Exchange, Short, Way};
use super::{Body, BusError, Endpoint, Guests, Lane, Peer, PeerEvent, nng};

/// Answers of one round that may wait to be read; only a peer that answers again and again fills it.
pub(super) const UNREAD: usize = 16 * 1024;

/// Connects and departures that may wait to be read; they are hints, the answers are the truth.
pub(super) const EVENTS: usize = 4 * 1024;

/// Published messages that wait to be read; what comes when so many do is lost.
pub(super) const UNHEARD: usize = 1024;

/// Asks everybody who is connected to one endpoint.
#[derive(Debug)]
pub struct Surveyor {
    on: SurveyorOn,
    endpoint: Endpoint,
}

#[derive(Debug)]
enum SurveyorOn {
    #[cfg(target_os = "linux")]
    Direct(direct::Surveyor),
    Nng(nng::Surveyor),
}

impl Surveyor {
    /// Listens for respondents; the receiver tells who connects and who leaves.
    ///
    /// # Errors
    /// [`BusError::InUse`] where somebody listens there, [`BusError::Transport`] for other reasons.
    pub fn listen(endpoint: &Endpoint) -> Result<(Self, mpsc::Receiver<PeerEvent>), BusError> {
        Self::listen_for(Lane::chosen(), endpoint, &Guests::default())
    }

    /// As [`listen`](Self::listen), on that lane and for respondents of these users too.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen).
    pub fn listen_for(
        lane: Lane,
        endpoint: &Endpoint,
        guests: &Guests,
    ) -> Result<(Self, mpsc::Receiver<PeerEvent>), BusError> {
        let (on, events) = match lane {
            #[cfg(target_os = "linux")]
            Lane::Direct => {
                let (surveyor, events) = direct::Surveyor::listen(endpoint, guests)?;
                (SurveyorOn::Direct(surveyor), events)
            }
            _ => {
                let (surveyor, events) = nng::Surveyor::listen(endpoint, guests)?;
                (SurveyorOn::Nng(surveyor), events)
            }
        };
        Ok((Self { on, endpoint: endpoint.clone() }, events))
    }

    /// Asks everybody who is connected now; answers count until the window, in whole milliseconds, is over.
    ///
    /// # Errors
    /// [`BusError::Transport`] where the system or NNG refuses.
    ///
    /// # Cancel safety
    /// Dropping the future, or the answers, ends the round.
    pub async fn survey(&mut self, question: &[u8], window: Duration) -> Result<Answers<'_>, BusError> {
        let answers = match &mut self.on {
            #[cfg(target_os = "linux")]
            SurveyorOn::Direct(surveyor) => surveyor.ask(question, window)?,
            SurveyorOn::Nng(surveyor) => surveyor.ask(question, window).await?,
        };
        let exchange = Exchange::begin();
        exchange.show(Way::Out, Short(&self.endpoint), question);
        Ok(Answers { answers, exchange, surveyor: self })
    }

    fn end_round(&mut self) {
        match &mut self.on {
            #[cfg(target_os = "linux")]
            SurveyorOn::Direct(surveyor) => surveyor.end_round(),
            SurveyorOn::Nng(surveyor) => surveyor.end_round(),
        }
    }
}

/// The answers to one question, until its window is over.
#[derive(Debug)]
pub struct Answers<'a> {
    answers: mpsc::Receiver<(Peer, Body)>,
    exchange: Exchange,
    surveyor: &'a mut Surveyor,
}

impl Answers<'_> {
    /// The next answer and who gave it; `None` once the window is over.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<(Peer, Body)> {
        let (peer, body) = self.answers.recv().await?;
        self.exchange.show(Way::In, peer, &body);
        Some((peer, body))
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.surveyor.end_round();
    }
}

/// Answers surveys from one endpoint.
#[derive(Debug)]
pub struct Respondent(RespondentOn);

#[derive(Debug)]
enum RespondentOn {
    #[cfg(target_os = "linux")]
    Direct(direct::Respondent),
    Nng(nng::Respondent),
}

impl Respondent {
    /// Connects in the background, again and again for as long as it lives.
    ///
    /// # Errors
    /// [`BusError::Transport`] where the system has no thread to give, or NNG no socket.
    pub fn dial(endpoint: &Endpoint) -> Result<Self, BusError> {
        Self::dial_on(Lane::chosen(), endpoint)
    }

    /// As [`dial`](Self::dial), on that lane.
    ///
    /// # Errors
    /// As for [`dial`](Self::dial).
    pub fn dial_on(lane: Lane, endpoint: &Endpoint) -> Result<Self, BusError> {
        match lane {
            #[cfg(target_os = "linux")]
            Lane::Direct => direct::Respondent::dial(endpoint).map(RespondentOn::Direct).map(Self),
            _ => nng::Respondent::dial(endpoint).map(RespondentOn::Nng).map(Self),
        }
    }

    /// The next question; `None` never comes while the respondent lives.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Incoming> {
        match &mut self.0 {
            #[cfg(target_os = "linux")]
            RespondentOn::Direct(respondent) => respondent.next().await.map(IncomingOn::Asked),
            RespondentOn::Nng(respondent) => respondent.next().await.map(IncomingOn::Nng),
        }
        .map(Incoming::new)
    }

    /// Tells whether a surveyor is connected, now and whenever that changes.
    #[must_use]
    pub fn presence(&self) -> watch::Receiver<bool> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            RespondentOn::Direct(respondent) => respondent.presence(),
            RespondentOn::Nng(respondent) => respondent.presence(),
        }
    }
}

/// Tells everybody who is connected to one endpoint.
#[derive(Debug)]
pub struct Publisher(PublisherOn);

#[derive(Debug)]
enum PublisherOn {
    #[cfg(target_os = "linux")]
    Direct(direct::Publisher),
    Nng(nng::Publisher),
}

impl Publisher {
    /// Listens for subscribers.
    ///
    /// # Errors
    /// [`BusError::InUse`] where somebody listens there, [`BusError::Transport`] for other reasons.
    pub fn listen(endpoint: &Endpoint) -> Result<Self, BusError> {
        Self::listen_on(Lane::chosen(), endpoint)
    }

    /// As [`listen`](Self::listen), on that lane.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen).
    pub fn listen_on(lane: Lane, endpoint: &Endpoint) -> Result<Self, BusError> {
        match lane {
            #[cfg(target_os = "linux")]
            Lane::Direct => direct::Publisher::listen(endpoint).map(PublisherOn::Direct).map(Self),
            _ => nng::Publisher::listen(endpoint).map(PublisherOn::Nng).map(Self),
        }
    }

    /// Sends to all who are connected now; waits for nobody.
    pub fn publish(&self, message: &[u8]) {
        Exchange::begin().show(Way::Out, "subscribers", message);
        match &self.0 {
            #[cfg(target_os = "linux")]
            PublisherOn::Direct(publisher) => publisher.publish(message),
            PublisherOn::Nng(publisher) => publisher.publish(message),
        }
    }

    /// Leaves the endpoint, and waits until its file is gone, but not for ever.
    pub fn close(self) {
        match self.0 {
            #[cfg(target_os = "linux")]
            PublisherOn::Direct(publisher) => drop(publisher),
            PublisherOn::Nng(publisher) => publisher.close(),
        }
    }
}

/// Hears what is published at one endpoint.
#[derive(Debug)]
pub struct Subscriber(SubscriberOn);

#[derive(Debug)]
enum SubscriberOn {
    #[cfg(target_os = "linux")]
    Direct(direct::Subscriber),
    Nng(nng::Subscriber),
}

impl Subscriber {
    /// Connects in the background, again and again for as long as it lives.
    ///
    /// What is published while it is not connected, or while more than a thousand messages wait to be read, is lost:
    /// a message that must not be missed carries a number, and is written down elsewhere.
    ///
    /// # Errors
    /// [`BusError::Transport`] where the system has no thread to give, or NNG no socket.
    pub fn dial(endpoint: &Endpoint) -> Result<Self, BusError> {
        Self::dial_on(Lane::chosen(), endpoint)
    }

    /// As [`dial`](Self::dial), on that lane.
    ///
    /// # Errors
    /// As for [`dial`](Self::dial).
    pub fn dial_on(lane: Lane, endpoint: &Endpoint) -> Result<Self, BusError> {
        match lane {
            #[cfg(target_os = "linux")]
            Lane::Direct => direct::Subscriber::dial(endpoint).map(SubscriberOn::Direct).map(Self),
            _ => nng::Subscriber::dial(endpoint).map(SubscriberOn::Nng).map(Self),
        }
    }

    /// Whether the connection stands at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match &self.0 {
            #[cfg(target_os = "linux")]
            SubscriberOn::Direct(subscriber) => subscriber.is_connected(),
            SubscriberOn::Nng(subscriber) => subscriber.is_connected(),
        }
    }

    /// The next message; `None` never comes while the subscriber lives.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Body> {
        let message = match &mut self.0 {
            #[cfg(target_os = "linux")]
            SubscriberOn::Direct(subscriber) => subscriber.next().await?,
            SubscriberOn::Nng(subscriber) => subscriber.next().await?,
        };
        Exchange::begin().show(Way::In, "publisher", &message);
        Some(message)
    }
}

#[cfg(test)]
pub(super) mod tests;
