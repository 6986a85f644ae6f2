//! REQ and REP as the layers above see them, on the lane that was picked.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use super::direct;
use super::incoming::{Incoming, IncomingOn};
use super::trace::{self, Exchange, Short, Way};
use super::{Body, BusError, Endpoint, Guests, Lane, RequestError, block_on, nng};

/// A longer timeout is taken for this one: as good as none, and no overflow.
#[cfg(any(target_os = "linux", feature = "host"))]
pub(crate) const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Sends requests to one endpoint, any number at a time.
#[derive(Debug)]
pub struct Requester {
    on: RequesterOn,
    /// Kept for the wire trace alone.
    endpoint: Option<Endpoint>,
}

#[derive(Debug)]
enum RequesterOn {
    #[cfg(target_os = "linux")]
    Direct(direct::Requester),
    Nng(nng::Requester),
}

impl Requester {
    /// Makes a requester; the first request connects, or waits for it.
    ///
    /// Once the connection was there and is lost, it stays lost: an endpoint is never listened at twice.
    ///
    /// # Errors
    /// [`BusError::Transport`] where the system or NNG cannot make what it needs.
    pub fn dial(endpoint: &Endpoint) -> Result<Self, BusError> {
        Self::dial_on(Lane::chosen(), endpoint)
    }

    /// As [`dial`](Self::dial); requests go to that process alone, or to one of the group that it leads.
    ///
    /// Who else listens there is hung up on, and nothing is sent.
    ///
    /// # Errors
    /// As for [`dial`](Self::dial).
    pub fn dial_process(endpoint: &Endpoint, pid: u32) -> Result<Self, BusError> {
        Self::reach(Lane::chosen(), endpoint, Some(pid))
    }

    /// As [`dial`](Self::dial), on that lane.
    ///
    /// # Errors
    /// As for [`dial`](Self::dial).
    pub fn dial_on(lane: Lane, endpoint: &Endpoint) -> Result<Self, BusError> {
        Self::reach(lane, endpoint, None)
    }

    pub(super) fn reach(lane: Lane, endpoint: &Endpoint, process: Option<u32>) -> Result<Self, BusError> {
        let on = match lane {
            #[cfg(target_os = "linux")]
            Lane::Direct => RequesterOn::Direct(direct::Requester::dial(endpoint, process)),
            _ => RequesterOn::Nng(nng::Requester::dial(endpoint, process)?),
        };
        Ok(Self { on, endpoint: trace::is_on().then(|| endpoint.clone()) })
    }

    /// Whether a connection stands, as far as is known without asking the other side.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match &self.on {
            #[cfg(target_os = "linux")]
            RequesterOn::Direct(requester) => requester.is_connected(),
            RequesterOn::Nng(requester) => requester.is_connected(),
        }
    }

    /// Whether the connection was there and the other side has ended it, for good.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        match &self.on {
            #[cfg(target_os = "linux")]
            RequesterOn::Direct(requester) => requester.is_lost(),
            RequesterOn::Nng(requester) => requester.is_lost(),
        }
    }

    /// Sends a request and waits for its reply, at most as long as the timeout.
    ///
    /// Needs no runtime; on a tokio runtime, that one's I/O and time must be enabled.
    ///
    /// # Errors
    /// [`RequestError`] says whether the request was sent. Without a connection within half a second it is
    /// [`RequestError::NotSent`].
    ///
    /// # Cancel safety
    /// Dropping the future abandons the request here; the other side is not told and its reply is thrown away.
    pub async fn request(&self, body: &[u8], timeout: Duration) -> Result<Body, RequestError> {
        let exchange = self.asks(body);
        let reply = match &self.on {
            #[cfg(target_os = "linux")]
            RequesterOn::Direct(requester) => requester.request(body, direct::deadline(timeout), None).await,
            RequesterOn::Nng(requester) => requester.request(body, timeout, None).await,
        };
        self.is_told(exchange, &reply);
        reply
    }

    /// As [`request`](Self::request), up to that moment, but the other side is told when the future is dropped before the
    /// reply came.
    ///
    /// What it is told is then sent behind the request; nobody waits for an answer to that.
    ///
    /// # Errors
    /// As for [`request`](Self::request).
    ///
    /// # Cancel safety
    /// Dropping the future abandons the request; it needs no runtime for that and waits for nothing.
    pub async fn request_or_tell(
        &self,
        body: &[u8],
        deadline: Instant,
        farewell: Farewell<'_>,
    ) -> Result<Body, RequestError> {
        let exchange = self.asks(body);
        let farewell: Farewell<'_> = &|| {
            let body = farewell();
            self.asks(&body);
            body
        };
        let reply = match &self.on {
            #[cfg(target_os = "linux")]
            RequesterOn::Direct(requester) => requester.request(body, deadline, Some(farewell)).await,
            RequesterOn::Nng(requester) => {
                let timeout = deadline.saturating_duration_since(Instant::now());
                requester.request(body, timeout, Some(farewell)).await
            }
        };
        self.is_told(exchange, &reply);
        reply
    }

    /// As [`request`](Self::request), on the calling thread.
    ///
    /// # Errors
    /// As for [`request`](Self::request).
    pub fn request_blocking(&self, body: &[u8], timeout: Duration) -> Result<Body, RequestError> {
        let exchange = self.asks(body);
        let reply = match &self.on {
            #[cfg(target_os = "linux")]
            RequesterOn::Direct(requester) => requester.request_blocking(body, timeout),
            RequesterOn::Nng(requester) => block_on(requester.request(body, timeout, None)),
        };
        self.is_told(exchange, &reply);
        reply
    }

    fn asks(&self, body: &[u8]) -> Exchange {
        let exchange = Exchange::begin();
        if let Some(endpoint) = &self.endpoint {
            exchange.show(Way::Out, Short(endpoint), body);
        }
        exchange
    }

    fn is_told(&self, exchange: Exchange, reply: &Result<Body, RequestError>) {
        match (&self.endpoint, reply) {
            (None, _) => {}
            (Some(endpoint), Ok(body)) => exchange.show(Way::In, Short(endpoint), body),
            (Some(endpoint), Err(error)) => exchange.end(Short(endpoint), error),
        }
    }
}

/// Makes the message to be sent when nobody waits for a reply any more.
pub type Farewell<'a> = &'a (dyn Fn() -> Vec<u8> + Sync);

/// Answers requests at one endpoint.
#[derive(Debug)]
pub struct Replier(ReplierOn);

#[derive(Debug)]
enum ReplierOn {
    #[cfg(target_os = "linux")]
    Direct(direct::Replier),
    Nng(nng::Replier),
}

impl Replier {
    /// Listens, with room for that many requests that are not yet answered.
    ///
    /// The socket is for its owner alone (mode 0600).
    ///
    /// # Errors
    /// [`BusError::InUse`] where somebody listens there, [`BusError::Transport`] for other reasons.
    pub fn listen(endpoint: &Endpoint, room: usize) -> Result<Self, BusError> {
        Self::listen_on(Lane::chosen(), endpoint, room)
    }

    /// As [`listen`](Self::listen), on that lane.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen).
    pub fn listen_on(lane: Lane, endpoint: &Endpoint, room: usize) -> Result<Self, BusError> {
        Self::listen_for(lane, endpoint, room, &Guests::default())
    }

    /// As [`listen_on`](Self::listen_on), for these users too, as far as the socket's and its directory's modes let them in.
    ///
    /// # Errors
    /// As for [`listen`](Self::listen).
    pub fn listen_for(lane: Lane, endpoint: &Endpoint, room: usize, guests: &Guests) -> Result<Self, BusError> {
        match lane {
            #[cfg(target_os = "linux")]
            Lane::Direct => direct::Replier::listen(endpoint, room, guests).map(ReplierOn::Direct).map(Self),
            _ => nng::Replier::listen(endpoint, room, guests).map(ReplierOn::Nng).map(Self),
        }
    }

    /// The next request; `None` never comes while the replier lives.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Incoming> {
        match &mut self.0 {
            #[cfg(target_os = "linux")]
            ReplierOn::Direct(replier) => replier.next().await.map(IncomingOn::Direct),
            ReplierOn::Nng(replier) => replier.next().await.map(IncomingOn::Nng),
        }
        .map(Incoming::new)
    }

    /// Takes no more requests; the future ends when those that were sent before are answered, their answers sent.
    ///
    /// Requests still come, those that were sent before. On the direct lane whoever sends later knows at once that
    /// its request was not received. NNG cannot tell what was sent before: there it ends after a moment.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing.
    pub fn hang_up(&self) -> impl Future<Output = ()> + Send + 'static {
        /// For NNG's threads to write what they were given and to read what has come; at 20 ms a busy machine lost one
        /// in some hundred.
        const MOMENT: Duration = Duration::from_millis(100);
        #[cfg(target_os = "linux")]
        let direct = match &self.0 {
            ReplierOn::Direct(replier) => Some(replier.hang_up()),
            ReplierOn::Nng(_) => None,
        };
        #[cfg(not(target_os = "linux"))]
        let direct = None::<std::future::Ready<()>>;
        async move {
            match direct {
                Some(direct) => direct.await,
                None => tokio::time::sleep(MOMENT).await,
            }
        }
    }

    /// What has nothing more received, for one who drops a replier that is somewhere else: as
    /// [`hang_up`](Self::hang_up), and waits for nothing. On the NNG lane, which cannot, it does nothing.
    pub fn bolt(&self) -> Box<dyn Fn() + Send + Sync> {
        match &self.0 {
            #[cfg(target_os = "linux")]
            ReplierOn::Direct(replier) => Box::new(replier.bolt()),
            ReplierOn::Nng(_) => Box::new(|| {}),
        }
    }

    /// Has each request that comes from now on run where it was read, on the lane that can; others go on with
    /// [`next`](Self::next).
    ///
    /// It is called within the runtime that this is called in, if any.
    /// It may block: when that has taken a millisecond or two, another thread goes on in its place.
    pub fn attend(&self, attendant: impl Fn(Incoming, &Turn<'_>) + Send + Sync + 'static) {
        match &self.0 {
            #[cfg(target_os = "linux")]
            ReplierOn::Direct(replier) => {
                let take = move |incoming, turn: &direct::Turn<'_>| {
                    attendant(Incoming::new(IncomingOn::Direct(incoming)), &Turn(turn));
                };
                replier.attend(Box::new(take));
            }
            ReplierOn::Nng(_) => drop(attendant),
        }
    }
}

/// What is to be done about a request that takes long.
pub trait IfSlow: Send + Sync {
    /// Called at most once, on another thread, while the request still runs.
    fn is_slow(self: Arc<Self>);
}

/// The turn of a request that runs where it was read.
#[derive(Debug)]
pub struct Turn<'a>(
    #[cfg(target_os = "linux")] &'a direct::Turn<'a>,
    #[cfg(not(target_os = "linux"))] std::marker::PhantomData<&'a ()>,
);

impl Turn<'_> {
    /// What to do, on another thread, when the request is found to take long.
    pub fn if_slow(&self, then: Arc<dyn IfSlow>) {
        #[cfg(target_os = "linux")]
        self.0.if_slow(then);
        #[cfg(not(target_os = "linux"))]
        drop(then);
    }
}
