//! What a plugin says of its methods.

use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema(serde_json::Value);

impl Schema {
    #[cfg(feature = "plugin")]
    pub(crate) fn new(value: serde_json::Value) -> Self {
        Self(value)
    }

    /// Adds the description of a property that it has.
    #[cfg(feature = "plugin")]
    pub(crate) fn explain(&mut self, property: &str, doc: &str) {
        let property = self.0.get_mut("properties").and_then(|properties| properties.get_mut(property));
        if let Some(serde_json::Value::Object(property)) = property {
            property.insert("description".into(), doc.into());
        }
    }

    /// Reads a schema from its JSON text.
    ///
    /// # Errors
    /// [`CodecError::Mismatch`](crate::wire::CodecError::Mismatch) where the text is not JSON.
    pub fn from_json(text: &str) -> Result<Self, super::CodecError> {
        serde_json::from_str(text).map(Self).map_err(|error| super::CodecError::Mismatch(error.to_string()))
    }

    /// The value of the keyword `type`, where the schema has one: `string`, `object`, …
    ///
    /// Of several, the first that is not `null`.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        match self.0.get("type")? {
            serde_json::Value::Array(kinds) => {
                kinds.iter().filter_map(|kind| kind.as_str()).find(|kind| *kind != "null")
            }
            kind => kind.as_str(),
        }
    }

    /// The names below `properties`, each with its schema and whether it is required.
    #[must_use]
    pub fn properties(&self) -> Vec<(String, Schema, bool)> {
        let Some(properties) = self.0.get("properties").and_then(serde_json::Value::as_object) else {
            return Vec::new();
        };
        let required = self.0.get("required").and_then(serde_json::Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|n| n == name));
        properties.iter().map(|(name, schema)| (name.clone(), Self(schema.clone()), is_required(name))).collect()
    }
}

impl std::fmt::Display for Schema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
