//! A call as a span of a trace, for whoever listens to `tracing` or has begun a trace.

use tracing::Span;

use super::discovery::Target;
use crate::wire::{Traceparent, Trail};

/// What a call is traced by.
pub(super) struct Traced {
    pub(super) trail: Trail,
    pub(super) span: Span,
}

impl Traced {
    /// `None` where nobody listens and no trace has been begun: then it costs one look at each.
    pub(super) fn begin(trail: Option<&Trail>, target: Target<'_>) -> Option<Self> {
        let given = trail.and_then(|trail| trail.traceparent.as_deref());
        let listened_to = tracing::enabled!(target: "plugbus::call", tracing::Level::DEBUG);
        if given.is_none() && !listened_to {
            return None;
        }
        let mut trail = trail.cloned().unwrap_or_default();
        let next = match given.map(str::parse::<Traceparent>) {
            Some(Ok(given)) => given.child().to_string(),
            // Somebody else may know what it means.
            Some(Err(_)) => given.unwrap_or_default().to_owned(),
            None => Traceparent::root().to_string(),
        };
        let plugin = target.plugin.unwrap_or_default();
        let span = tracing::debug_span!(target: "plugbus::call", "call", plugin, method = target.method, traceparent = %next);
        trail.traceparent = Some(next);
        Some(Self { trail, span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_was_begun_goes_on() {
        let target = Target { plugin: None, method: "revert", instance: None };
        assert!(Traced::begin(None, target).is_none());
        assert!(Traced::begin(Some(&Trail::default()), target).is_none());
        let begun = |traceparent: &str| {
            let mut trail = Trail::default();
            trail.traceparent = Some(traceparent.to_owned());
            Traced::begin(Some(&trail), target).unwrap().trail.traceparent.unwrap()
        };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let next = begun(parent);
        assert!(next != parent && next[..36] == parent[..36] && next.ends_with("-01"), "{next}");
        assert_eq!(begun("theirs"), "theirs");
    }
}
