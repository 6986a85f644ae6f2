//! One open stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::bus::{Body, Card, RequestError, block_on};
use crate::host::CallError;
use crate::host::links::Link;
use crate::host::request::Waits;
use crate::wire::{Close, CodecError, MAX_TTL, Next, Put, Raw, Reply, RequestHead, Taken, builtin};

/// How long to wait for the answer to `$close`, of which nothing depends.
const FAREWELL: Duration = Duration::from_secs(1);

/// An open stream, shared by its two ends.
#[derive(Debug)]
pub(in crate::host) struct Line {
    id: String,
    plugin: String,
    instance: String,
    link: Arc<Link>,
    /// For each question; the stream as a whole has as long as it takes.
    timeout: Duration,
    waits: Waits,
    over: AtomicBool,
}

impl Line {
    pub(in crate::host) fn new(id: &str, card: &Card, link: Arc<Link>, (timeout, waits): (Duration, Waits)) -> Self {
        Self {
            id: id.to_owned(),
            plugin: card.name.clone(),
            instance: card.instance.clone(),
            link,
            timeout,
            waits,
            over: AtomicBool::new(false),
        }
    }

    /// Asks for the items from that number on.
    pub(super) async fn next(&self, from: u64) -> Result<Body, CallError> {
        // The process keeps its connection for as long as it lives, and dropping a stream closes it.
        let keep_ms = u64::try_from(MAX_TTL.as_millis()).ok();
        let next = Next { from: Some(from), keep_ms, ..Next::new(&self.id) };
        let request = self.head(builtin::NEXT).encode(&next).map_err(CallError::Params)?;
        self.ask(&request).await
    }

    /// Brings items; how far the other side has got.
    pub(super) async fn put(&self, put: Put<'_>) -> Result<Taken, CallError> {
        let params = Put { stream: &self.id, ..put }.encode();
        let request = self.head(builtin::PUT).encode_raw(Raw::checked_before(&params));
        let body = self.ask(&request).await?;
        self.result(&body)?.to().map_err(|error| self.unreadable(error))
    }

    fn head<'a>(&'a self, method: &'a str) -> RequestHead<'a> {
        let mut head = RequestHead::new(method, self.timeout);
        head.instance = Some(&self.instance);
        head
    }

    async fn ask(&self, request: &[u8]) -> Result<Body, CallError> {
        let reply = match self.waits {
            Waits::Async => self.link.requester.request(request, self.timeout).await,
            Waits::OnThread => self.link.requester.request_blocking(request, self.timeout),
        };
        let plugin = || self.plugin.clone();
        reply.map_err(|error| match error {
            RequestError::TimedOut => CallError::Deadline { plugin: plugin(), timeout: self.timeout },
            RequestError::TooLarge(length) => CallError::TooLarge(length),
            // A stream lives as long as its connection.
            _ => {
                self.is_over();
                CallError::Died { plugin: plugin(), instance: self.instance.clone() }
            }
        })
    }

    /// What a reply has brought.
    pub(super) fn result<'a>(&self, body: &'a [u8]) -> Result<Raw<'a>, CallError> {
        match Reply::decode(body).map_err(|error| self.unreadable(error))? {
            Reply::Result(result) => Ok(result),
            Reply::Error(fault) => Err(CallError::Plugin { plugin: self.plugin.clone(), fault }),
            Reply::Stream(_) => Err(self.unreadable(CodecError::Expected("a result"))),
        }
    }

    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    pub(super) fn unreadable(&self, error: CodecError) -> CallError {
        CallError::Reply { plugin: self.plugin.clone(), error }
    }

    /// Notes that there is nothing left to end.
    pub(super) fn is_over(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Tells the plugin that nobody wants the rest, where it has not ended.
    pub(in crate::host) fn close(self: &Arc<Self>) {
        if self.over.swap(true, Ordering::Relaxed) {
            return;
        }
        let Ok(request) = self.head(builtin::CLOSE).encode(&Close { stream: &self.id }) else { return };
        let line = Arc::clone(self);
        let farewell = async move { drop(line.link.requester.request(&request, FAREWELL).await) };
        match (self.waits, tokio::runtime::Handle::try_current()) {
            (Waits::Async, Ok(runtime)) => drop(runtime.spawn(farewell)),
            // Without a runtime, the thread that drops it waits for a moment.
            _ => block_on(farewell),
        }
    }
}
