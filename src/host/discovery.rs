//! Which plugins are there, by their cards alone.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::CallError;
use super::desk::Desks;
use super::links::Link;
use crate::bus::{BusDir, BusError, Card};
use crate::wire::nearest;

/// A directory changed this recently may change again under the same time stamp: those are as coarse as the
/// kernel's tick, at most 10 ms.
const STAMP: Duration = Duration::from_millis(20);

/// How long a look at the directory is good for: a new instance gets its first call at most this much later.
///
/// To look costs a microsecond, a quarter of a call. Nothing hangs on a look that is this old: an instance that goes
/// refuses by itself, one that is gone has lost its connection, and before a caller is told that something is not
/// there, somebody looks.
const FRESH: Duration = Duration::from_millis(5);

/// The name under which the supervisor is on its own bus.
pub(super) const SUPERVISOR: &str = "supervisor";

/// How old the cards may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// A few milliseconds.
    Recent,
    /// As they are now.
    Now,
}

/// The cards of a bus, read again when the directory has changed.
#[derive(Debug)]
pub(super) struct Discovery {
    pub(super) directory: BusDir,
    /// What each group of threads knows.
    desks: Desks<Mutex<Option<Reading>>>,
}

/// What a directory held.
#[derive(Debug)]
struct Reading {
    /// Seconds and nanoseconds of its time stamp, as a mark and not as a time: the wall clock decides nothing.
    stamp: (i64, i64),
    /// When that stamp was first seen.
    since: Instant,
    /// Whether it can no longer change under the same stamp.
    settled: bool,
    /// When the stamp was last looked at.
    looked: Instant,
    cards: Arc<Cards>,
}

impl Discovery {
    pub(super) fn new(directory: BusDir) -> Self {
        Self { directory, desks: Desks::default() }
    }

    /// The cards, of plugins that died without notice, too.
    pub(super) fn cards(&self, age: Age, now: Instant) -> Result<Arc<Cards>, CallError> {
        let mut last = lock(self.desks.own());
        if let Some(last) = &mut *last {
            let recent = age == Age::Recent && now.saturating_duration_since(last.looked) < FRESH;
            if recent || (last.settled && self.stamp() == Some(last.stamp)) {
                last.looked = if recent { last.looked } else { now };
                return Ok(Arc::clone(&last.cards));
            }
        }
        self.read(&mut last)
    }

    fn read(&self, last: &mut Option<Reading>) -> Result<Arc<Cards>, CallError> {
        // Before the reading, so that what changes meanwhile changes the stamp; and the time after the stamp.
        let (stamp, now) = (self.stamp(), Instant::now());
        let since = last.take().filter(|last| Some(last.stamp) == stamp).map_or(now, |last| last.since);
        let cards = Arc::new(Cards::new(self.directory.cards().map_err(no_bus)?));
        let settled = now.saturating_duration_since(since) > STAMP;
        *last = stamp.map(|stamp| Reading { stamp, since, settled, looked: now, cards: Arc::clone(&cards) });
        Ok(cards)
    }

    fn stamp(&self) -> Option<(i64, i64)> {
        let found = fs::metadata(self.directory.path()).ok()?;
        Some((found.mtime(), found.mtime_nsec()))
    }

    /// Forgets what was read: it turned out to be old.
    pub(super) fn forget(&self) {
        self.desks.iter().for_each(|desk| *lock(desk) = None);
    }
}

fn lock(desk: &Mutex<Option<Reading>>) -> MutexGuard<'_, Option<Reading>> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cards, sorted by name and instance, and which of them offers what.
#[derive(Debug)]
pub(super) struct Cards {
    all: Vec<Listed>,
    offering: BTreeMap<String, Vec<usize>>,
}

/// A card, and the connection to its instance once one was made.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) card: Card,
    /// Its plugin's name once more: each call takes one with it.
    pub(super) plugin: Arc<str>,
    pub(super) link: OnceLock<Arc<Link>>,
}

impl Deref for Listed {
    type Target = Card;

    fn deref(&self) -> &Card {
        &self.card
    }
}

impl Cards {
    pub(super) fn new(all: Vec<Card>) -> Self {
        let mut offering = BTreeMap::<_, Vec<_>>::new();
        for (at, card) in all.iter().enumerate() {
            for method in &card.methods {
                let those = offering.entry(method.name.clone()).or_default();
                // A card may name a method twice.
                if those.last() != Some(&at) {
                    those.push(at);
                }
            }
        }
        let listed = |card: Card| Listed { plugin: card.name.as_str().into(), card, link: OnceLock::new() };
        let all = all.into_iter().map(listed).collect();
        Self { all, offering }
    }

    /// Those whose process is there.
    pub(super) fn alive(&self) -> Vec<Card> {
        self.iter().filter(|card| card.process.is_alive()).map(|listed| listed.card.clone()).collect()
    }

    /// Those that offer that method.
    fn offering(&self, method: &str) -> impl Iterator<Item = &Listed> + Clone {
        self.offering.get(method).into_iter().flatten().filter_map(|at| self.all.get(*at))
    }

    /// Those of that plugin.
    fn named(&self, plugin: &str) -> &[Listed] {
        let start = self.all.partition_point(|card| card.name.as_str() < plugin);
        let those = &self.all[start..];
        &those[..those.partition_point(|card| card.name == plugin)]
    }
}

impl Deref for Cards {
    type Target = [Listed];

    fn deref(&self) -> &[Listed] {
        &self.all
    }
}

fn no_bus(error: BusError) -> CallError {
    match error {
        BusError::NoBus(path) => CallError::NoBus(path),
        error => CallError::Bus(error),
    }
}

/// What a caller asked for: a method, and the plugin where it was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) plugin: Option<&'a str>,
    pub(super) method: &'a str,
    pub(super) instance: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Reads `plugin.method` where no plugin has a method of that whole name.
    pub(super) fn resolve(self, cards: &Cards) -> Self {
        match self.method.split_once('.') {
            Some((plugin, method))
                if self.plugin.is_none() && !cards.offering(self.method).any(|card| is_common(card)) =>
            {
                Self { plugin: Some(plugin), method, ..self }
            }
            _ => self,
        }
    }

    /// Whether a card is of the plugin that was named, or of any that is found without its name.
    fn names(self, card: &Card) -> bool {
        self.plugin.map_or_else(|| is_common(card), |plugin| plugin == card.name)
    }

    /// What to call it in an error.
    pub(super) fn name(self) -> String {
        self.plugin.unwrap_or(self.method).to_owned()
    }

    /// The cards this may be sent to; the built-in methods are everybody's, so they need a plugin's name. So do the
    /// supervisor's: nobody's `add` or `start` may become ambiguous because a supervisor has one, too.
    pub(super) fn candidates(self, cards: &'a Cards) -> impl Iterator<Item = &'a Listed> + Clone {
        let everybody: &[Listed] = match (self.method.starts_with('$'), self.plugin) {
            (false, _) => &[],
            (true, Some(plugin)) => cards.named(plugin),
            (true, None) => cards,
        };
        let meant = move |card: &&Listed| self.instance.is_none_or(|instance| instance == card.instance);
        cards.offering(self.method).chain(everybody).filter(move |card| self.names(card)).filter(meant)
    }

    /// Which of several plugins is meant cannot be guessed.
    pub(super) fn check_unambiguous(self, cards: &'a Cards) -> Result<(), CallError> {
        // Sorted by name.
        let those = self.candidates(cards);
        let name = |card: Option<&'a Listed>| card.map(|card| card.name.as_str());
        if name(those.clone().next()) == name(those.clone().last()) {
            return Ok(());
        }
        let mut plugins: Vec<String> = those.map(|card| card.name.clone()).collect();
        plugins.dedup();
        Err(CallError::Ambiguous { method: self.method.into(), plugins })
    }

    /// That nobody has it, with what somebody has.
    pub(super) fn missing(self, cards: &Cards) -> CallError {
        let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        if let Some(name) = self.plugin.filter(|name| cards.iter().all(|card| card.name != *name)) {
            let near = nearest(name, cards.iter().map(|card| card.name.as_str()));
            return CallError::NoSuchPlugin { name: name.into(), nearest: own(near) };
        }
        if self.plugin.is_none()
            && let Some(supervisor) = cards.iter().find(|card| !is_common(card) && card.offers(self.method))
        {
            let nearest = vec![format!("{}.{}", supervisor.name, self.method)];
            return CallError::NoSuchMethod { method: self.method.into(), nearest };
        }
        let of_plugin = cards.iter().filter(|card| self.names(card));
        let methods = of_plugin.flat_map(|card| &card.methods).map(|method| method.name.as_str());
        CallError::NoSuchMethod { method: self.method.into(), nearest: own(nearest(self.method, methods)) }
    }
}

/// Whether a plugin's methods are found without its name.
fn is_common(card: &Card) -> bool {
    card.name != SUPERVISOR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::ProcessId;
    use crate::wire::MethodInfo;

    fn card(name: &str, methods: &[&str]) -> Card {
        Card {
            name: name.into(),
            instance: "i".into(),
            version: String::new(),
            process: ProcessId::own(),
            protocol: 1,
            protocol_max: None,
            url: String::new(),
            methods: methods.iter().map(|name| MethodInfo::new(*name)).collect(),
        }
    }

    fn target(method: &str) -> Target<'_> {
        Target { plugin: None, method, instance: None }
    }

    #[test]
    fn what_is_meant() {
        let supervisor = card("supervisor", &["add", "status", "revert"]);
        let math = card("math", &["add", "text.add"]);
        let cards = Cards::new(vec![math, supervisor, card("text", &["revert", "add"])]);
        for (asked, plugin, method) in [
            ("revert", None, "revert"),
            ("text.revert", Some("text"), "revert"),
            ("text.add", None, "text.add"),
            ("math.text.add", Some("math"), "text.add"),
            ("nobody.x", Some("nobody"), "x"),
            ("text.$info", Some("text"), "$info"),
            ("status", None, "status"),
            ("supervisor.add", Some("supervisor"), "add"),
        ] {
            let found = target(asked).resolve(&cards);
            assert_eq!((found.plugin, found.method), (plugin, method), "{asked}");
        }
        assert!(matches!(target("add").check_unambiguous(&cards), Err(CallError::Ambiguous { .. })));
        assert!(target("revert").check_unambiguous(&cards).is_ok());
    }

    #[test]
    fn what_is_missing_names_the_nearest() {
        let cards = Cards::new(vec![card("supervisor", &["restart"]), card("text", &["revert", "wrap"])]);
        for (asked, expected) in [
            ("reverse", "there is no method \"reverse\"; did you mean revert?"),
            ("test.revert", "there is no plugin \"test\"; did you mean text?"),
            ("text.warp", "there is no method \"warp\"; did you mean wrap?"),
            ("restart", "there is no method \"restart\"; did you mean supervisor.restart?"),
            ("supervisor.start", "there is no method \"start\"; did you mean restart?"),
            ("xyzzy", "there is no method \"xyzzy\""),
        ] {
            assert_eq!(target(asked).resolve(&cards).missing(&cards).to_string(), expected);
        }
    }
}
