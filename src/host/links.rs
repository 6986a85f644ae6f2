//! Connections to plugin instances, made once and kept.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bus::{BusError, Card, Requester};

/// Instances that were heard to drain and are remembered at most; older ones are long gone.
const LEAVING: usize = 64;

/// One requester an instance: a request goes where it is meant to go.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    links: HashMap<String, Arc<Link>>,
    /// Told us that they take no more calls; an instance never comes back.
    leaving: VecDeque<String>,
}

/// The connection to one instance.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) requester: Requester,
    in_flight: AtomicUsize,
}

/// The instance that gets a call.
pub(super) struct Chosen<'a> {
    pub(super) card: &'a Card,
    pub(super) link: Arc<Link>,
}

/// Counts a call for as long as it is under way.
pub(super) struct InFlight<'a>(&'a Link);

impl Links {
    /// The link to the least busy of these instances; `None` where none is alive.
    pub(super) fn least_busy<'a>(
        &self,
        candidates: impl Iterator<Item = &'a Card>,
    ) -> Result<Option<Chosen<'a>>, BusError> {
        let mut known = self.lock();
        let Known { links, leaving } = &mut *known;
        let mut candidates: Vec<&Card> = candidates.filter(|card| !leaving.contains(&card.instance)).collect();
        candidates
            .sort_by_key(|card| links.get(&card.instance).map_or(0, |link| link.in_flight.load(Ordering::Relaxed)));
        for card in candidates {
            if let Some(link) = links.get(&card.instance).filter(|link| link.requester.is_connected()) {
                return Ok(Some(Chosen { card, link: Arc::clone(link) }));
            }
            // A connection says that the process lives; without one, only the operating system does.
            if card.process.is_alive() {
                let link = match links.get(&card.instance) {
                    Some(link) if !link.requester.is_lost() => Arc::clone(link),
                    _ => Arc::new(Link::dial(card)?),
                };
                links.insert(card.instance.clone(), Arc::clone(&link));
                return Ok(Some(Chosen { card, link }));
            }
        }
        Ok(None)
    }

    /// Forgets the link to an instance that is gone.
    pub(super) fn forget(&self, instance: &str) {
        self.lock().links.remove(instance);
    }

    /// Never chooses that instance again: it is about to go.
    pub(super) fn avoid(&self, instance: &str) {
        let mut known = self.lock();
        known.links.remove(instance);
        known.leaving.push_back(instance.to_owned());
        if known.leaving.len() > LEAVING {
            known.leaving.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn dial(card: &Card) -> Result<Self, BusError> {
        Ok(Self { requester: Requester::dial(&card.url.parse()?)?, in_flight: AtomicUsize::new(0) })
    }

    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
