//! What a plugin says of its methods.

use std::fmt;
use std::sync::Arc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{CodecError, Raw, from_slice, to_vec};

/// The methods every plugin answers; a name that starts with `$` is never a plugin's own.
pub mod builtin {
    /// Name, version and methods of the plugin, as [`Info`](crate::wire::Info).
    pub const INFO: &str = "$info";
    /// The plugin's counters and those of each method, as [`Stats`](crate::wire::Stats).
    pub const STATS: &str = "$stats";
    /// Nothing: shows that calls are served.
    pub const PING: &str = "$ping";
    /// Stops the call of the given `id`.
    pub const CANCEL: &str = "$cancel";
    /// Takes no more calls, finishes those it has, exits with 0.
    pub const STOP: &str = "$stop";
    /// The next items of a stream, as [`Next`](crate::wire::Next).
    pub const NEXT: &str = "$next";
    /// Items for a method that takes them, as [`Put`](crate::wire::Put).
    pub const PUT: &str = "$put";
    /// Ends a stream, as [`Close`](crate::wire::Close).
    pub const CLOSE: &str = "$close";
}

/// One method, as it stands in `info` and on the card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodInfo {
    /// The method's name.
    pub name: String,
    /// A line that says what it is for; empty where its author wrote none.
    #[serde(default)]
    pub doc: String,
    /// What it takes; anything, where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Schema>,
    /// What it returns; anything, where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Schema>,
    /// Whether running it twice is as good as running it once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub idempotent: bool,
    /// Which way its values come one by one; neither, where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
    /// How long it takes as a rule, in milliseconds, as its author says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typical_ms: Option<u64>,
}

impl MethodInfo {
    /// A method of which nothing but its name is known.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            doc: String::new(),
            params: None,
            result: None,
            idempotent: false,
            streams: None,
            typical_ms: None,
        }
    }
}

/// Which way the values of a method come one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Streams {
    /// It returns items; `result` describes one of them.
    Out,
    /// It takes items; `params` describes one of them.
    In,
    /// Both.
    Both,
    /// From a later version of the protocol.
    #[serde(other)]
    Unknown,
}

/// A JSON Schema, kept as its author wrote it.
///
/// A clone shares what it is a copy of.
#[derive(Clone, PartialEq, Eq)]
pub struct Schema {
    /// As MessagePack, because a tree of values is some ten times as large and hardly ever looked at.
    encoded: Arc<[u8]>,
}

impl Schema {
    /// # Errors
    /// [`CodecError`] for what MessagePack cannot hold, or nests too deep for it.
    fn encode(value: &Value) -> Result<Self, CodecError> {
        let encoded = to_vec(value)?;
        Raw::new(&encoded)?;
        Ok(Self { encoded: encoded.into() })
    }

    fn value(&self) -> Value {
        from_slice(&self.encoded).unwrap_or_default()
    }

    /// `None` for what MessagePack cannot hold.
    #[cfg(feature = "plugin")]
    pub(crate) fn new(value: &Value) -> Option<Self> {
        Self::encode(value).ok()
    }

    /// Adds the description of a property that it has.
    #[cfg(feature = "plugin")]
    pub(crate) fn explain(&mut self, property: &str, doc: &str) {
        let mut value = self.value();
        let property = value.get_mut("properties").and_then(|properties| properties.get_mut(property));
        if let Some(Value::Object(property)) = property {
            property.insert("description".into(), doc.into());
            // What it had could be encoded, and text can be.
            if let Some(explained) = Self::new(&value) {
                *self = explained;
            }
        }
    }

    /// Reads a schema from its JSON text.
    ///
    /// # Errors
    /// [`CodecError::Mismatch`] where the text is not JSON, [`CodecError::TooDeep`] where it nests deeper than a message may.
    pub fn from_json(text: &str) -> Result<Self, CodecError> {
        let value = serde_json::from_str(text).map_err(|error| CodecError::Mismatch(error.to_string()))?;
        Self::encode(&value)
    }

    /// The value of the keyword `type`, where the schema has one: `string`, `object`, …
    ///
    /// Of several, the first that is not `null`.
    #[must_use]
    pub fn kind(&self) -> Option<String> {
        let value = self.value();
        let kind = match value.get("type")? {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
            kind => kind.as_str(),
        };
        kind.map(str::to_owned)
    }

    /// The names below `properties`, each with its schema and whether it is required.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, Schema, bool)> {
        let value = self.value();
        let properties = value.get("properties").and_then(Value::as_object).into_iter().flatten();
        let required = value.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|n| n == name));
        // Part of what is encoded already can be encoded.
        let part =
            |(name, part): (&String, &Value)| Some((name.clone(), Self::encode(part).ok()?, is_required(name)));
        properties.filter_map(part).collect()
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::encode(&Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
