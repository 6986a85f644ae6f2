//! Connections to plugin instances, made once and kept.

use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::desk::Desks;
use super::discovery::Listed;
use crate::bus::{BusError, Card, Requester};

/// Instances that were heard to drain and are remembered at most; older ones are long gone.
const LEAVING: usize = 64;

/// For how long an instance that had too many calls is passed over, where there are others.
const RECENTLY: Duration = Duration::from_millis(50);

/// One requester an instance: a request goes where it is meant to go.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    links: HashMap<String, Arc<Link>>,
    /// Told us that they take no more calls; an instance never comes back.
    leaving: VecDeque<String>,
    /// Refused a call as too busy, and when.
    refused: Vec<(String, Instant)>,
    /// Counts the calls.
    choices: u64,
}

/// The connection to one instance.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) requester: Requester,
    /// Its instance told us to go elsewhere.
    avoided: AtomicBool,
    /// Which choice was the last that fell on it.
    chosen: AtomicU64,
    /// What each group of threads has begun and not ended; one may end what another one has begun.
    in_flight: Desks<AtomicUsize>,
}

/// The instance that gets a call.
pub(super) struct Chosen<'a> {
    pub(super) card: &'a Listed,
    pub(super) link: Held<'a>,
}

/// A link for the time of a call.
pub(super) enum Held<'a> {
    /// Stands with its card.
    Listed(&'a Arc<Link>),
    Own(Arc<Link>),
}

impl Held<'_> {
    /// The link itself, for longer than the call.
    pub(super) fn share(&self) -> Arc<Link> {
        match self {
            Self::Listed(link) => Arc::clone(link),
            Self::Own(link) => Arc::clone(link),
        }
    }
}

impl Deref for Held<'_> {
    type Target = Link;

    fn deref(&self) -> &Link {
        match self {
            Self::Listed(link) => link,
            Self::Own(link) => link,
        }
    }
}

impl<'a> Chosen<'a> {
    /// The only one of these, where its link is at hand: without the lock that every call would want.
    pub(super) fn only(mut candidates: impl Iterator<Item = &'a Listed>) -> Option<Self> {
        let (card, None) = (candidates.next()?, candidates.next()) else { return None };
        let link = card.link.get().filter(|link| link.is_usable())?;
        Some(Self { card, link: Held::Listed(link) })
    }
}

/// Counts a call for as long as it is under way.
pub(super) struct InFlight<'a>(&'a Link);

impl Links {
    /// The link to the least busy of these instances; `None` where none is alive.
    ///
    /// Whoever refused a call as too busy a moment ago comes last. Of those with as many calls it is the one that was
    /// chosen longest ago, so that idle ones share what comes.
    pub(super) fn least_busy<'a>(
        &self,
        candidates: impl Iterator<Item = &'a Listed> + Clone,
    ) -> Result<Option<Chosen<'a>>, BusError> {
        let mut known = self.lock();
        known.forget_refusals();
        let candidates = candidates.filter(|card| !known.leaving.contains(&card.instance));
        // As a rule the least busy one is there; only else the others are put in order.
        if let Some(card) = candidates.clone().min_by_key(|card| known.burden(card))
            && let Some(link) = known.links.get(&card.instance).filter(|link| link.requester.is_connected())
        {
            let link = Arc::clone(link);
            return Ok(Some(known.choose(card, link)));
        }
        let mut candidates: Vec<&Listed> = candidates.collect();
        candidates.sort_by_key(|card| known.burden(card));
        for card in candidates {
            let link = known.links.get(&card.instance).filter(|link| !link.requester.is_lost());
            // A connection says that the process lives; without one, only the operating system does.
            let connected = link.is_some_and(|link| link.requester.is_connected());
            if connected || card.process.is_alive() {
                let link = link.map_or_else(|| Link::dial(card).map(Arc::new), |link| Ok(Arc::clone(link)))?;
                known.links.insert(card.instance.clone(), Arc::clone(&link));
                return Ok(Some(known.choose(card, link)));
            }
        }
        Ok(None)
    }

    /// Notes that an instance has just refused a call because it has too many.
    pub(super) fn refused(&self, instance: &str) {
        self.lock().refused.push((instance.to_owned(), Instant::now()));
    }

    /// Forgets the link to an instance that is gone.
    pub(super) fn forget(&self, instance: &str) {
        self.lock().links.remove(instance);
    }

    /// Never chooses that instance again: it is about to go.
    pub(super) fn avoid(&self, instance: &str) {
        let mut known = self.lock();
        if let Some(link) = known.links.remove(instance) {
            link.avoided.store(true, Ordering::Release);
        }
        known.leaving.push_back(instance.to_owned());
        if known.leaving.len() > LEAVING {
            known.leaving.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What speaks against an instance, the most important first.
    fn burden(&self, card: &Card) -> (bool, usize, u64) {
        let refused = self.refused.iter().any(|(instance, _)| *instance == card.instance);
        let link = self.links.get(&card.instance);
        let number = |link: &Arc<Link>| (link.in_flight(), link.chosen.load(Ordering::Relaxed));
        let (in_flight, chosen) = link.map_or((0, 0), number);
        (refused, in_flight, chosen)
    }

    fn choose<'a>(&mut self, card: &'a Listed, link: Arc<Link>) -> Chosen<'a> {
        self.choices += 1;
        link.chosen.store(self.choices, Ordering::Relaxed);
        // The first one it gets is the only one, as a rule.
        let _ = card.link.set(Arc::clone(&link));
        Chosen { card, link: Held::Own(link) }
    }

    fn forget_refusals(&mut self) {
        if !self.refused.is_empty() {
            let now = Instant::now();
            self.refused.retain(|(_, since)| now.duration_since(*since) < RECENTLY);
        }
    }
}

impl Link {
    fn dial(card: &Card) -> Result<Self, BusError> {
        Ok(Self {
            requester: Requester::dial_process(&card.url.parse()?, card.process.pid)?,
            avoided: AtomicBool::default(),
            chosen: AtomicU64::default(),
            in_flight: Desks::default(),
        })
    }

    fn is_usable(&self) -> bool {
        self.requester.is_connected() && !self.avoided.load(Ordering::Acquire)
    }

    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.own().fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    fn in_flight(&self) -> usize {
        let sum = self.in_flight.iter().fold(0_usize, |sum, count| sum.wrapping_add(count.load(Ordering::Relaxed)));
        // Below zero where the end of a call was seen and its beginning was not.
        sum.cast_signed().max(0).cast_unsigned()
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.own().fetch_sub(1, Ordering::Relaxed);
    }
}
