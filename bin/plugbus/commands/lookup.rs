//! Finding what plugins say of themselves, by their cards; one that is being restarted is waited for.

use std::time::Duration;

use plugbus::bus::Card;
use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::wire::{Fault, MethodInfo, from_slice};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::control::SUPERVISOR;

/// What the supervisor's method `wait` is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Wanted<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plugin: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    /// Reads `[PLUGIN.]METHOD`: a method's own name may have dots too, and wins where some plugin has it.
    pub(super) fn method(typed: &'a str, cards: &[Card]) -> Self {
        match typed.split_once('.') {
            Some((plugin, method)) if !cards.iter().any(|card| card.name != SUPERVISOR && card.offers(typed)) => {
                Self { plugin: Some(plugin), method: Some(method) }
            }
            _ => Self { plugin: None, method: Some(typed) },
        }
    }

    /// The cards that fit.
    pub(super) fn among<'c>(self, cards: &'c [Card]) -> impl Iterator<Item = &'c Card> + use<'c, 'a> {
        cards.iter().filter(move |card| {
            self.plugin.map_or_else(|| self.method.is_none() || card.name != SUPERVISOR, |plugin| plugin == card.name)
                && self.method.is_none_or(|method| card.offers(method))
        })
    }
}

/// What the instances of one plugin say of a method, each thing once, and whether it took waiting to learn that.
///
/// Nothing where nobody has it, and where several plugins do: which is meant cannot be told.
///
/// # Errors
/// As for [`wait`].
pub(super) fn method(
    bus: &Bus,
    typed: &str,
    instance: Option<&str>,
    timeout: Duration,
) -> Result<(Vec<MethodInfo>, bool), CallError> {
    let known = || -> Result<_, CallError> {
        let cards = bus.plugins()?;
        let wanted = Wanted::method(typed, &cards);
        let found = wanted.among(&cards).filter(|card| instance.is_none_or(|instance| card.instance == instance));
        Ok((wanted, infos(found, wanted)))
    };
    match known()? {
        (wanted, None) if !is_builtin(wanted) && wait(bus, wanted, timeout)? => {
            Ok((known()?.1.unwrap_or_default(), true))
        }
        (_, found) => Ok((found.unwrap_or_default(), false)),
    }
}

/// Nobody's card has those.
fn is_builtin(wanted: Wanted<'_>) -> bool {
    wanted.method.is_some_and(|method| method.starts_with('$'))
}

/// Waits until the supervisor has what is wanted ready; false where it never heard of that.
///
/// # Errors
/// [`CallError::Unreachable`] where the plugin is known, and does not come or not in time. Any other reason why it
/// cannot be found is the next call's to tell.
pub(super) fn wait(bus: &Bus, wanted: Wanted<'_>, timeout: Duration) -> Result<bool, CallError> {
    let plugin = || wanted.plugin.or(wanted.method).unwrap_or_default().to_owned();
    match bus.request("wait").plugin(SUPERVISOR).timeout(timeout).call::<IgnoredAny, _>(&wanted) {
        Ok(_) => Ok(true),
        Err(CallError::Deadline { .. }) => {
            let reason = format!("it is being restarted and was not ready within {timeout:?}");
            Err(CallError::Unreachable { plugin: plugin(), reason })
        }
        Err(CallError::Plugin { fault, .. }) if is_down(&fault) => {
            Err(CallError::Unreachable { plugin: plugin(), reason: fault.message })
        }
        Err(_) => Ok(false),
    }
}

/// Whether the supervisor knows the plugin, and that it will not come back by itself.
fn is_down(fault: &Fault) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Refusal {
        kind: String,
    }
    let refusal: Option<Refusal> = fault.data.as_deref().and_then(|data| from_slice(data).ok());
    refusal.is_some_and(|refusal| refusal.kind == "down")
}

/// `None` where nobody has the method.
fn infos<'c>(cards: impl Iterator<Item = &'c Card>, wanted: Wanted<'_>) -> Option<Vec<MethodInfo>> {
    let (mut plugins, mut found) = (Vec::new(), Vec::new());
    for card in cards {
        let info = card.methods.iter().find(|method| Some(method.name.as_str()) == wanted.method);
        plugins.push(&card.name);
        found.extend(info.filter(|info| !found.contains(*info)).cloned());
    }
    let first = *plugins.first()?;
    Some(if plugins.iter().all(|plugin| *plugin == first) { found } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str, methods: &[&str]) -> Card {
        let methods: Vec<_> = methods.iter().map(|name| serde_json::json!({"name": name})).collect();
        let card = serde_json::json!({
            "name": name, "instance": "i", "pid": 1, "start_time": 0, "protocol": 1, "url": "", "methods": methods,
        });
        serde_json::from_value(card).unwrap()
    }

    #[test]
    fn a_method_may_have_dots_of_its_own() {
        let cards = [card("text", &["revert", "case.upper"]), card("math", &["add"])];
        for (typed, plugin, method, found) in [
            ("revert", None, "revert", Some("text")),
            ("case.upper", None, "case.upper", Some("text")),
            ("text.case.upper", Some("text"), "case.upper", Some("text")),
            ("math.add", Some("math"), "add", Some("math")),
            ("math.revert", Some("math"), "revert", None),
        ] {
            let wanted = Wanted::method(typed, &cards);
            assert_eq!(wanted, Wanted { plugin, method: Some(method) });
            assert_eq!(wanted.among(&cards).next().map(|card| card.name.as_str()), found, "{typed}");
        }
    }
}
