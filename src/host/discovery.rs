//! Which plugins are there, by their cards alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::CallError;
use crate::bus::{BusDir, BusError, Card};
use crate::wire::nearest;

/// A directory changed this recently may change again under the same time stamp: those are as coarse as the
/// kernel's tick, at most 10 ms.
const STAMP: Duration = Duration::from_millis(20);

/// The name under which the supervisor is on its own bus.
pub(super) const SUPERVISOR: &str = "supervisor";

/// The cards of a bus, read again when the directory has changed.
#[derive(Debug)]
pub(super) struct Discovery {
    pub(super) directory: BusDir,
    last: Mutex<Option<Reading>>,
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
    cards: Arc<[Card]>,
}

impl Discovery {
    pub(super) fn new(directory: BusDir) -> Self {
        Self { directory, last: Mutex::default() }
    }

    /// The cards as they are now; of plugins that died without notice, too.
    pub(super) fn cards(&self) -> Result<Arc<[Card]>, CallError> {
        let found = fs::metadata(self.directory.path()).ok();
        let stamp = found.map(|found| (found.mtime(), found.mtime_nsec()));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.take_if(|last| Some(last.stamp) != stamp || !last.settled);
        if let Some(last) = last.as_ref() {
            return Ok(Arc::clone(&last.cards));
        }
        let now = Instant::now();
        let since = known.filter(|known| Some(known.stamp) == stamp).map_or(now, |known| known.since);
        let cards: Arc<[Card]> = self.directory.cards().map_err(no_bus)?.into();
        let settled = now.duration_since(since) > STAMP;
        *last = stamp.map(|stamp| Reading { stamp, since, settled, cards: Arc::clone(&cards) });
        Ok(cards)
    }

    /// Forgets what was read: it turned out to be old.
    pub(super) fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
    pub(super) fn resolve(self, cards: &[Card]) -> Self {
        let whole = self.plugin.is_some() || cards.iter().any(|card| is_common(card) && card.offers(self.method));
        match self.method.split_once('.') {
            Some((plugin, method)) if !whole => Self { plugin: Some(plugin), method, ..self },
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
    pub(super) fn candidates(self, cards: &'a [Card]) -> impl Iterator<Item = &'a Card> + Clone {
        cards.iter().filter(move |card| {
            let offers = self.method.starts_with('$') || card.offers(self.method);
            self.names(card) && offers && self.instance.is_none_or(|instance| instance == card.instance)
        })
    }

    /// Which of several plugins is meant cannot be guessed.
    pub(super) fn check_unambiguous(self, cards: &[Card]) -> Result<(), CallError> {
        let mut plugins: Vec<String> = self.candidates(cards).map(|card| card.name.clone()).collect();
        plugins.dedup();
        match plugins.len() {
            0 | 1 => Ok(()),
            _ => Err(CallError::Ambiguous { method: self.method.into(), plugins }),
        }
    }

    /// That nobody has it, with what somebody has.
    pub(super) fn missing(self, cards: &[Card]) -> CallError {
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
        let cards = [card("math", &["add", "text.add"]), card("text", &["revert", "add"]), supervisor];
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
        let cards = [card("text", &["revert", "wrap"]), card("supervisor", &["restart"])];
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
