//! Finding what plugins say of themselves, by their cards; one that is being restarted is waited for.

use std::time::Duration;

use plugbus::bus::Card;
use plugbus::host::CallError;
use plugbus::host::blocking::Bus;
use plugbus::wire::MethodInfo;
use serde::Serialize;
use serde::de::IgnoredAny;

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
            Some((plugin, method)) if !cards.iter().any(|card| card.offers(typed)) => {
                Self { plugin: Some(plugin), method: Some(method) }
            }
            _ => Self { plugin: None, method: Some(typed) },
        }
    }

    /// The cards that fit.
    pub(super) fn among<'c>(self, cards: &'c [Card]) -> impl Iterator<Item = &'c Card> + use<'c, 'a> {
        cards.iter().filter(move |card| {
            self.plugin.is_none_or(|plugin| plugin == card.name)
                && self.method.is_none_or(|method| card.offers(method))
        })
    }
}

/// What is known of a method, and whether it took waiting to learn that; `None` where nothing is.
///
/// Fails only where waiting used up the time: any other reason why a method cannot be found is the call's own
/// to tell.
pub(super) fn method(bus: &Bus, typed: &str, timeout: Duration) -> Result<(Option<MethodInfo>, bool), CallError> {
    let cards = bus.plugins()?;
    let wanted = Wanted::method(typed, &cards);
    if let Some(card) = wanted.among(&cards).next() {
        return Ok((info(card, wanted), false));
    }
    wait(bus, wanted, timeout)?;
    let cards = bus.plugins()?;
    let wanted = Wanted::method(typed, &cards);
    Ok((wanted.among(&cards).next().and_then(|card| info(card, wanted)), true))
}

/// Waits until the supervisor has what is wanted ready, or says that it never will.
pub(super) fn wait(bus: &Bus, wanted: Wanted<'_>, timeout: Duration) -> Result<(), CallError> {
    match bus.request("wait").plugin(SUPERVISOR).timeout(timeout).call::<IgnoredAny, _>(&wanted) {
        Err(CallError::Deadline { .. }) => Err(CallError::Unreachable {
            plugin: wanted.plugin.or(wanted.method).unwrap_or_default().into(),
            reason: format!("it is being restarted and was not ready within {timeout:?}"),
        }),
        _ => Ok(()),
    }
}

fn info(card: &Card, wanted: Wanted<'_>) -> Option<MethodInfo> {
    card.methods.iter().find(|method| Some(method.name.as_str()) == wanted.method).cloned()
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
