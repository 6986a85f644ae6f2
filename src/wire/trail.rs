//! What a call inherits from the call that caused it: the keys of `meta` that this protocol knows.

use rmp::decode::read_array_len;

use super::codec::Raw;
use super::fields::Fields;
use super::map_writer::MapWriter;

/// How deep calls may nest: a call that a call makes has depth 1.
pub const MAX_CALL_DEPTH: u32 = 16;

/// An instance's name is ten letters and digits; nothing longer than this is one.
const MAX_INSTANCE: usize = 64;

/// Which calls a call is nested in, and what follows it through all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trail {
    depth: u32,
    instances: Vec<String>,
    /// The W3C trace context, as it came.
    pub traceparent: Option<String>,
    /// What belongs to that trace context, as it came.
    pub tracestate: Option<String>,
}

impl Trail {
    /// Reads what is ours in a request's `meta`; what is of another type is somebody else's.
    #[must_use]
    pub fn read(meta: Option<Raw<'_>>) -> Self {
        let mut trail = Self::default();
        let Some(Ok(mut fields)) = meta.map(Fields::of) else { return trail };
        while let Some((key, value)) = fields.pair() {
            let text = || value.str().ok().map(str::to_owned);
            match key.str() {
                Ok("depth") => trail.depth = value.uint().map_or(0, |depth| depth.try_into().unwrap_or(u32::MAX)),
                Ok("trail") => trail.instances = instances(value).unwrap_or_default(),
                Ok("traceparent") => trail.traceparent = text(),
                Ok("tracestate") => trail.tracestate = text(),
                _ => {}
            }
        }
        let passed = trail.instances.len().try_into().unwrap_or(u32::MAX);
        trail.depth = trail.depth.max(passed);
        trail
    }

    /// The `meta` that says this; `None` where there is nothing to say.
    #[must_use]
    pub fn write(&self) -> Option<Vec<u8>> {
        let traces = [("traceparent", &self.traceparent), ("tracestate", &self.tracestate)];
        let traces = || traces.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
        let given = [self.depth > 0, !self.instances.is_empty()];
        let fields = given.iter().filter(|given| **given).count() + traces().count();
        if fields == 0 {
            return None;
        }
        let mut out = Vec::with_capacity(64);
        let mut map = MapWriter::new(&mut out, fields.try_into().unwrap_or(u32::MAX));
        if self.depth > 0 {
            map.uint("depth", self.depth.into());
        }
        if !self.instances.is_empty() {
            map.strs("trail", &self.instances);
        }
        traces().for_each(|(key, value)| map.str(key, value));
        Some(out)
    }

    /// How many calls this one is nested in.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Whether it is nested deeper than calls may be.
    #[must_use]
    pub fn is_too_deep(&self) -> bool {
        self.depth > MAX_CALL_DEPTH
    }

    /// The instance whose call made this one; `None` for a call that nobody's call made.
    #[must_use]
    pub fn caller(&self) -> Option<&str> {
        self.instances.last().map(String::as_str)
    }

    /// Whether a call that this one is nested in runs in that instance.
    #[must_use]
    pub fn leads_through(&self, instance: &str) -> bool {
        self.instances.iter().any(|passed| passed == instance)
    }

    /// The trail of a call that this one makes, in that instance.
    #[must_use]
    pub fn nested(&self, instance: &str) -> Self {
        let mut nested = self.clone();
        nested.depth = self.depth.saturating_add(1);
        nested.instances.push(instance.to_owned());
        nested
    }
}

/// The instances of a trail, where that is what it is.
fn instances(value: Raw<'_>) -> Option<Vec<String>> {
    // Before anything is made room for: a trail is never longer than calls are deep.
    let length = read_array_len(&mut value.bytes()).ok().filter(|length| *length <= MAX_CALL_DEPTH)?;
    let names: Vec<&str> = value.to().ok()?;
    let fit = names.len() == length as usize && names.iter().all(|name| name.len() <= MAX_INSTANCE);
    fit.then(|| names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::to_vec;
    use super::*;

    fn read(meta: &Value) -> Trail {
        let bytes = to_vec(meta).unwrap();
        Trail::read(Some(Raw::new(&bytes).unwrap()))
    }

    #[test]
    fn a_trail_survives_the_wire_and_grows_by_one() {
        assert_eq!(Trail::default().write(), None);
        assert_eq!(Trail::read(None), Trail::default());
        let mut outer = read(&json!({"traceparent": "00-a-b-01", "tracestate": "x=1", "theirs": [1]}));
        assert_eq!((outer.depth(), outer.caller()), (0, None));
        for nth in 1..=MAX_CALL_DEPTH {
            outer = outer.nested(&format!("i{nth}"));
            let bytes = outer.write().unwrap();
            assert_eq!(Trail::read(Some(Raw::new(&bytes).unwrap())), outer);
            assert_eq!((outer.depth(), outer.is_too_deep()), (nth, false));
        }
        assert!(outer.leads_through("i1") && outer.leads_through("i16") && !outer.leads_through("i"));
        assert_eq!((outer.caller(), outer.traceparent.as_deref()), (Some("i16"), Some("00-a-b-01")));
        assert!(outer.nested("i17").is_too_deep());
    }

    #[test]
    fn what_is_of_another_type_is_somebody_elses() {
        let endless = vec!["i"; 17];
        for meta in [
            json!(7),
            json!([["depth", 3]]),
            json!({"depth": "deep", "trail": "blazing", "traceparent": 7, "tracestate": []}),
            json!({"depth": -1, "trail": endless}),
            json!({"trail": [1, 2]}),
            json!({"trail": ["x".repeat(65)]}),
        ] {
            assert_eq!(read(&meta), Trail::default(), "{meta}");
        }
        assert!(read(&json!({"depth": u64::MAX})).is_too_deep());
        // A map whose keys are numbers, too.
        assert_eq!(Trail::read(Some(Raw::new(&[0x81, 1, 2]).unwrap())), Trail::default());
    }
}
